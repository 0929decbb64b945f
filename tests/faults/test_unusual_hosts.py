# SPDX-License-Identifier: Apache-2.0
"""Hosts that are not as ours: the reason in seconds, and a hint that works when it is followed."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest
import yaml

from tests.support.cubes import shell_task, write_cube
from tests.support.host_programs import TOOLS
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost

Completed = subprocess.CompletedProcess[str]
SECONDS = 12.0
"""Until a user knows why a host is unfit; the machine of the tests may be busy."""


@attrs.frozen
class Lab:
    """A host, and a cube to run there."""

    host: SshHost
    cube: Path

    def call(self, command: str, *arguments: str) -> Completed:
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "mlcube_remote", *command.split(), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0 or time.monotonic() - started < SECONDS, done.stderr
        return done

    def run(self, *arguments: str, task: str = "greet") -> Completed:
        here = (f"--inventory={self.host.inventory}", f"--mlcube={self.cube}")
        return self.call("run", *here, f"--host={self.host.name}", f"--task={task}", *arguments)

    def check(self) -> Completed:
        return self.call("hosts check", f"--inventory={self.host.inventory}", self.host.name)

    def require_reason(self, row: str, reason: str) -> str:
        """Require that a run and a check name the reason; return the hint."""
        done, checked = self.run(), self.check()
        assert (done.returncode, checked.returncode) == (122, 122), done.stderr + checked.stdout
        assert reason in done.stderr
        (line,) = [line for line in checked.stdout.splitlines() if f"FAIL {row}" in line]
        assert reason in line
        (hint,) = re.findall(r"hint: (.*)", done.stderr)
        assert " ".join(hint.split()) in " ".join(checked.stdout.split())
        return str(hint)

    def as_root(self, script: str) -> str:
        done = self.host.exec(["sh", "-c", script])
        assert done.exit_code == 0, done.output
        return done.output.decode()

    def prepend(self, file: str, line: str) -> None:
        """Make a line the first of a file in the user's home."""
        path = self.host.home / file
        old = self.as_root(f"cat {path} 2>/dev/null || :")
        self.as_root(f"cat >{path} <<'end'\n{line}\n{old}\nend\nchown mlcube {path}")

    def set_engine(self, engine: str) -> None:
        described = yaml.safe_load(self.host.inventory.read_text())
        described["hosts"][self.host.name]["docker"] = {"docker": engine}
        self.host.inventory.write_text(yaml.safe_dump(described))


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    greet = shell_task('echo hello; echo made >"${0#*=}/new.txt"', outputs={"out": "out/"})
    wait = shell_task("sleep 300", outputs={"out": "out/"})
    return write_cube(tmp_path / "cube", {"greet": greet, "wait": wait})


@pytest.fixture
def lab(ssh_host: HostFactory, cube: Path) -> Lab:
    """A host of this test alone."""
    return Lab(ssh_host(private=True), cube)


@pytest.fixture
def bare(ssh_host: HostFactory, cube: Path) -> Iterator[Callable[[str], Lab]]:
    """Return a function that takes a program away from a host; it is back after the test."""
    lab = Lab(ssh_host("docker"), cube)
    taken: list[str] = []

    # chmod itself may be taken away.
    chmod = "/usr/local/sbin/chmod-of-the-test"
    lab.as_root(f"cp /usr/bin/chmod {chmod}")

    def take(program: str) -> Lab:
        taken.append(program)
        lab.as_root(f"{chmod} 000 /usr/bin/{program}")
        return lab

    yield take
    for program in taken:
        assert lab.host.exec([chmod, "755", f"/usr/bin/{program}"]).exit_code == 0


@pytest.mark.parametrize("program", TOOLS)
def test_a_program_that_is_missing_is_named(bare: Callable[[str], Lab], program: str) -> None:
    bare(program).require_reason("programs", f"{program}: not found")


JOINED = {
    "exec 2>&1": "arrive as one stream",
    "exec >&2": "arrive as one stream",
    "exec > >(tee -a /tmp/audit.log) 2>&1": "arrive as one stream",
    'exec script -qc "/bin/sh -s" /dev/null': "passes through a terminal",
}


@pytest.mark.parametrize("line", JOINED)
def test_a_start_up_file_that_joins_the_streams(lab: Lab, line: str) -> None:
    lab.prepend(".bashrc", line)
    hint = lab.require_reason("shell", JOINED[line])
    lab.prepend(".bashrc", hint.rpartition("write: ")[2])
    assert lab.run().returncode == 0, "the hint works"
    assert lab.check().returncode == 0


def test_another_program_called_rsync(lab: Lab) -> None:
    # As on macOS: the right one is elsewhere, and not on the PATH of non-interactive shells.
    lab.as_root("mkdir -p /opt/homebrew/bin && mv /usr/bin/rsync /opt/homebrew/bin/")
    fake = "#!/bin/sh\necho openrsync: protocol version 29\necho rsync version 2.6.9 compatible\n"
    lab.as_root(f"printf '%s' '{fake}' >/usr/bin/rsync && chmod 755 /usr/bin/rsync")
    hint = lab.require_reason("rsync", "its rsync is openrsync")
    lab.prepend(".bashrc", hint.rpartition(": ")[2])
    assert lab.run().returncode == 0, "the hint works"
    assert lab.check().returncode == 0


SYSTEMCTL = """#!/bin/sh
# As systemd: a service has a socket once it was started.
case "$*" in
"--user start docker") ln -sfn /var/run/docker.sock /run/user/$(id -u)/docker.sock ;;
"start docker") [ "$(id -u)" = 0 ] && ln -sfn /var/run/docker.sock /run/docker-of-root.sock ;;
*) exit 1 ;;
esac
"""


DOCKER = """#!/bin/sh
# The socket of the system cannot be taken away from the host, so this hides it until it is started.
case $1 in --host=*) exec /usr/bin/docker "$@" ;; esac
[ ! -e /run/docker-of-root.sock ] || exec /usr/bin/docker "$@"
echo "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon" \\
    "running?" >&2
exit 1
"""


@pytest.fixture
def served(lab: Lab) -> Lab:
    """A host on which services can be started."""
    uid = lab.as_root("id -u mlcube").strip()
    lab.as_root(f"mkdir -p /run/user/{uid} /run/systemd/system && chown mlcube /run/user/{uid}")
    lab.as_root(f"cat >/usr/local/bin/systemctl <<'end'\n{SYSTEMCTL}end")
    lab.as_root(f"cat >/usr/local/bin/docker <<'end'\n{DOCKER}end")
    lab.as_root("chmod 755 /usr/local/bin/systemctl /usr/local/bin/docker")
    return lab


def socket_of(lab: Lab) -> str:
    return f"unix:///run/user/{lab.as_root('id -u mlcube').strip()}/docker.sock"


def follow(lab: Lab, hint: str) -> None:
    """Type the command of a hint on the host, as its user."""
    command = hint.partition(f"on {lab.host.name}: ")[2]
    lab.as_root(f"su mlcube -c '{command}'")


def test_a_rootless_docker_that_does_not_run(served: Lab) -> None:
    served.set_engine(f"docker --host={socket_of(served)}")
    hint = served.require_reason("engine", "cannot connect to docker --host=unix:///run/user/")
    assert hint == f"on {served.host.name}: systemctl --user start docker"
    follow(served, hint)
    assert served.run().returncode == 0, "the hint works"


def test_a_rootless_docker_that_the_client_does_not_find(served: Lab) -> None:
    """Its address is often set only in interactive sessions."""
    served.as_root("su mlcube -c 'systemctl --user start docker'")
    hint = served.require_reason("engine", "cannot connect to docker: ")
    assert "sudo" not in hint
    setting = yaml.safe_load(hint.partition("set in the inventory: ")[2].partition(";")[0])
    assert setting == {"docker": {"docker": f"docker --host={socket_of(served)}"}}
    served.set_engine(setting["docker"]["docker"])
    assert served.run().returncode == 0, "the hint works"


def test_a_docker_of_the_system_that_does_not_run(served: Lab) -> None:
    hint = served.require_reason("engine", "cannot connect to docker: ")
    assert hint.endswith("systemctl start docker")
    assert "--user" not in hint
    served.as_root(hint.rpartition(": ")[2].removeprefix("sudo "))
    assert served.run().returncode == 0, "the hint works"


def test_a_docker_at_another_address(lab: Lab) -> None:
    lab.prepend(".bashrc", "export DOCKER_HOST=tcp://127.0.0.1:2375")
    hint = lab.require_reason("engine", "cannot connect to docker: ")
    assert "nothing answers at tcp://127.0.0.1:2375" in hint
    lab.set_engine("docker --host=unix:///var/run/docker.sock")
    assert lab.run().returncode == 0, "the hint works"


def test_a_context_that_does_not_exist(lab: Lab) -> None:
    lab.set_engine("docker --context=nonesuch")
    hint = lab.require_reason("engine", "docker --context=nonesuch cannot be used: ")
    follow(lab, hint)


@pytest.mark.parametrize("option", ["--context=other", "--host=unix:///run/other.sock"])
def test_an_engine_that_is_chosen_in_the_inventory_is_used_to_the_end(
    lab: Lab, option: str
) -> None:
    """The default of the user's client leads nowhere; only the inventory's setting works."""
    lab.as_root("ln -s /var/run/docker.sock /run/other.sock")
    for name, socket in (("other", "other.sock"), ("broken", "nothing.sock")):
        make = f"docker context create {name} --docker host=unix:///run/{socket}"
        lab.as_root(f"su mlcube -c '{make}'")
    lab.as_root("su mlcube -c 'docker context use broken'")
    lab.require_reason("engine", "cannot connect to docker: ")
    lab.set_engine(f"docker {option}")
    assert lab.check().returncode == 0
    done = lab.run()
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr
    assert (lab.cube / "workspace/out/new.txt").exists()
    started = lab.run("--detach", task="wait")
    assert started.returncode == 0, started.stderr
    wait_for(lambda: len(lab.host.tasks()) == 1)
    run_id = started.stdout.split()[0]
    assert lab.call("stop", run_id, "--grace=1s").returncode == 0
    wait_for(lambda: lab.host.tasks("--all") == [])
    cleaned = lab.call("clean", "--older-than=1s", f"--inventory={lab.host.inventory}")
    assert cleaned.returncode == 0, cleaned.stderr
