# SPDX-License-Identifier: Apache-2.0
"""One host's GPUs between two accounts: no account gets, takes or releases a GPU of the other."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest
import yaml

from mlcube_remote.sandbox import keys
from tests.support.command_line import command, run
from tests.support.cubes import FILE, shell_task, write_cube
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.support.hosts import Executed, HostFactory, SshHost

ACCOUNTS = ("mlcube", "stranger")
DEVICES = ("GPU-of-accounts-0", "GPU-of-accounts-1", "GPU-of-accounts-2")
NVIDIA_SMI = r"""#!/bin/sh
case $1 in
--query-gpu=*) printf '%s\n' '0, GPU-of-accounts-0' '1, GPU-of-accounts-1' '2, GPU-of-accounts-2' ;;
esac
"""
ENGINE = r"""#!/bin/sh
# An engine that knows only its user's containers, as those without root do, and that has no devices
# to pass on: a variable tells tasks which ones they would get, and share a directory.
case "$*" in *label=org.mlcommons.mlcube-remote.gpus*) exit ;; esac
for word in "$@"; do
    shift
    case $word in
    --gpus=*) set -- "$@" -e "DEVICES=${word#--gpus=}" -v "BUSY:/busy" ;;
    *) set -- "$@" "$word" ;;
    esac
done
exec docker "$@"
"""
LEASES = "/run/lock/mlcube-remote-gpu="


@attrs.frozen(kw_only=True)
class Shared:
    """A host with two accounts, each a host in the inventory."""

    host: SshHost
    inventory: Path
    busy: Path

    def as_user(self, account: str, script: str) -> Executed:
        return self.host.exec(["su", account, "-s", "/bin/sh", "-c", script])

    def leases(self) -> dict[str, str]:
        """Return device → who leased it, by what its lease says."""
        listing = self.host.exec(["sh", "-c", f"ls -d {LEASES}* 2>/dev/null"]).output.decode()
        names = {
            self.host.exec(["id", "-u", account]).output.decode().strip(): account
            for account in ACCOUNTS
        }
        fields = [line.split("=") for line in listing.splitlines()]
        return {field[1]: names[field[2]] for field in fields}


@pytest.fixture
def shared(ssh_host: HostFactory, tmp_path: Path) -> Shared:
    host = ssh_host(private=True)
    home, busy = host.home / "stranger", host.home / "busy"
    identity = tmp_path / "id_of_stranger"
    public = keys.ensure_key(identity)
    texts = {"nvidia-smi": NVIDIA_SMI, "engine": ENGINE.replace("BUSY", str(busy))}
    script = f"""set -e
        useradd --uid 4321 --groups engine --create-home --home-dir '{home}' --password '*' stranger
        echo '{public}' >>/etc/ssh/authorized_keys
        mkdir -m 1777 '{busy}'
        """
    for name, text in texts.items():
        script += (
            f"cat >/usr/local/bin/{name} <<'EOT'\n{text}EOT\nchmod 755 /usr/local/bin/{name}\n"
        )
    made = host.exec(["sh", "-c", script])
    assert made.exit_code == 0, made.output
    described = yaml.safe_load(host.inventory.read_text())["hosts"][host.name]
    described |= {"docker": {"docker": "engine"}, "slots": 3}
    hosts = {
        "mlcube": described,
        "stranger": described
        | {
            "user": "stranger",
            "identity_file": str(identity),
            "remote_root": f"{home}/.mlcube-remote",
        },
    }
    inventory = tmp_path / "hosts.yaml"
    inventory.write_text(yaml.safe_dump({"hosts": hosts}))
    return Shared(host=host, inventory=inventory, busy=busy)


def cube_of(account: str, folder: Path, script: str) -> Path:
    task = shell_task(
        script,
        inputs={"settings": {**FILE, "default": "settings.yaml"}},
        outputs={"told": {**FILE, "default": "told.txt"}},
    )
    cube = write_cube(folder / account, {"task": task}, platform={"accelerator_count": 1})
    (cube / "workspace/settings.yaml").write_text("n: 0\n")
    return cube


def test_jobs_of_two_accounts_never_have_one_device(shared: Shared, tmp_path: Path) -> None:
    """Six jobs want three devices, and each fails where somebody is on its own."""
    script = (
        'mkdir "/busy/$DEVICES" || exit 9; sleep 1; ls /busy >"${1#*=}"; rmdir "/busy/$DEVICES"'
    )
    clients = []
    for account in ACCOUNTS:
        cube = cube_of(account, tmp_path, script)
        argv = command(shared.inventory, cube, f"--host={account}", "--sweep=n=1,2,3", "--wait")
        clients.append(subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
    for client in clients:
        output, _ = client.communicate(timeout=120)
        assert client.returncode == 0, output.decode()
    listing = [path.read_text() for path in tmp_path.glob("*/results/*/*/told.txt")]
    assert len(listing) == 6
    assert max(len(text.split()) for text in listing) > 1, "they ran at the same time"
    assert shared.leases() == {}


@pytest.fixture
def holding(shared: Shared, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Give device → account, while each account has a job that holds one."""
    script = 'echo started; while [ ! -e /busy/go ]; do sleep 0.1; done; echo "$DEVICES" >"${1#*=}"'
    with contextlib.ExitStack() as clients:
        started = []
        for account in ACCOUNTS:
            cube = cube_of(account, tmp_path, script)
            argv = command(shared.inventory, cube, f"--host={account}")
            client = clients.enter_context(subprocess.Popen(argv, stdout=subprocess.PIPE))
            assert client.stdout is not None
            assert client.stdout.readline() == b"started\n"
            started.append(client)
        yield shared.leases()
        (shared.busy / "go").touch()
        for client in started:
            client.communicate(timeout=60)
            assert client.returncode == 0
    wait_for(lambda: shared.leases() == {})


def test_no_account_takes_anothers_lease_away_or_speaks_for_it(
    shared: Shared, holding: dict[str, str], tmp_path: Path
) -> None:
    assert sorted(holding.values()) == [*ACCOUNTS]
    for device, account in holding.items():
        (other,) = {*ACCOUNTS} - {account}
        tried = shared.as_user(
            other,
            f"cd /; for one in {LEASES}{device}=*; do"
            ' rmdir "$one"; rm -rf "$one"; mv "$one" "$one.gone"; mkdir "$one/in";'
            ' touch -t 200001010000 "$one"; done',
        )
        said = tried.output.decode()
        assert len(re.findall("not permitted|Permission denied", said)) == 5, said
    assert shared.leases() == holding

    # In the name of the other account, and of a process of its own that lives.
    (free,) = {*DEVICES} - {*holding}
    for device, account in holding.items():
        (other,) = {*ACCOUNTS} - {account}
        forged = shared.as_user(
            other,
            f"for one in {LEASES}{device}=*; do rest=${{one#*={device}=}}"
            f'; mkdir "{LEASES}{free}=${{rest%=*}}=forged-by-{other}"; done',
        )
        assert forged.exit_code == 0, forged.output
    cube = cube_of("third", tmp_path, 'echo "$DEVICES" >"${1#*=}"')
    for account in ACCOUNTS:
        done = run(shared.inventory, cube, f"--host={account}")
        assert done.returncode == 0, done.stderr.decode()
        assert (cube / "workspace/told.txt").read_text() == f"device={free}\n"
    for account in ACCOUNTS:
        assert shared.as_user(account, f"rmdir {LEASES}*=forged-by-{account}").exit_code == 0
