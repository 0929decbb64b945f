# SPDX-License-Identifier: Apache-2.0
"""The sandbox on a real engine: its hosts let their user in, do work, and leave nothing behind."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from mlcube_remote.sandbox import LABEL, Sandbox, SandboxError, down, status, up
from mlcube_remote.sandbox.engine import BASE_IMAGE, docker

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost

IN_CONTAINER = f'docker run --rm --network none --volume "$HOME:/io" {BASE_IMAGE}'

Completed = subprocess.CompletedProcess[str]


def ssh(inventory: Path, name: str, *command: str) -> Completed:
    """Run *command* with OpenSSH, which knows of our hosts only what the inventory says."""
    host = yaml.safe_load(inventory.read_text())["hosts"][name]
    return subprocess.run(
        [
            *("ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"),
            *("-o", "StrictHostKeyChecking=yes"),
            *("-o", f"UserKnownHostsFile={host['known_hosts']}"),
            *("-i", host["identity_file"], "-p", str(host["port"])),
            f"{host['user']}@{host['address']}",
            *command,
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def on(host: SshHost, *command: str) -> Completed:
    return ssh(host.inventory, host.name, *command)


def labelled(sandbox: Sandbox) -> list[str]:
    label = f"label={LABEL}={sandbox.id}"
    containers = docker("ps", "--all", "--quiet", "--filter", label).split()
    return containers + docker("volume", "ls", "--quiet", "--filter", label).split()


def test_hosts_let_their_user_in_and_the_engine_finds_their_home(sandbox_folder: Path) -> None:
    sandbox = up(2, state_dir=sandbox_folder)
    for host in sandbox.hosts:
        done = ssh(
            sandbox.inventory,
            host.name,
            f"echo work >in; {IN_CONTAINER} cp /io/in /io/out; hostname; cat out",
        )
        assert (done.stdout, done.stderr) == (f"{host.name}\nwork\n", "")
    assert [host.name for host in sandbox.hosts] == ["sandbox1", "sandbox2"]


def test_up_again_changes_nothing(sandbox_folder: Path) -> None:
    first = up(2, state_dir=sandbox_folder)
    before = labelled(first)
    said: list[str] = []
    assert up(2, state_dir=sandbox_folder, note=said.append) == first
    assert (labelled(first), said) == (before, [])
    assert status(state_dir=sandbox_folder) == first


def test_up_with_another_count_or_kind_replaces_what_does_not_fit(sandbox_folder: Path) -> None:
    up(2, state_dir=sandbox_folder)
    fewer = up(1, state_dir=sandbox_folder)
    assert [host.name for host in fewer.hosts] == ["sandbox1"]
    assert len(labelled(fewer)) == 1
    other = up(1, "tiny-disk", state_dir=sandbox_folder)
    assert [host.flavour for host in other.hosts] == ["tiny-disk"]
    assert len(labelled(other)) == 2  # with its disk


def test_one_of_each_engine(sandbox_folder: Path) -> None:
    sandbox = up(flavour="docker,podman,apptainer", state_dir=sandbox_folder)
    listed = yaml.safe_load(sandbox.inventory.read_text())["hosts"]
    platforms = {name: host["platform"] for name, host in listed.items()}
    assert platforms == {"sandbox1": "docker", "sandbox2": "podman", "sandbox3": "apptainer"}
    build = f"apptainer --silent build /tmp/base.sif docker://{BASE_IMAGE}"
    for name, command in (
        ("sandbox1", f'docker run --rm --network none --volume "$HOME:/io" {BASE_IMAGE}'),
        ("sandbox2", f'podman run --rm --network none --volume "$HOME:/io" {BASE_IMAGE}'),
        ("sandbox3", f'{build}; apptainer exec --bind "$HOME:/io" /tmp/base.sif'),
    ):
        done = ssh(sandbox.inventory, name, f"{command} touch /io/here; ls")
        assert done.stdout == "here\n", done.stderr
    assert up(flavour="docker,podman,apptainer", state_dir=sandbox_folder) == sandbox


def test_up_replaces_a_host_that_was_stopped(sandbox_folder: Path) -> None:
    sandbox = up(1, state_dir=sandbox_folder)
    docker("kill", *labelled(sandbox))
    assert status(state_dir=sandbox_folder).hosts == ()
    again = up(1, state_dir=sandbox_folder)
    assert ssh(again.inventory, "sandbox1", "true").returncode == 0


def test_down_removes_its_own_and_nothing_else(sandbox_folder: Path, tmp_path: Path) -> None:
    other = up(1, state_dir=tmp_path / "other")
    try:
        sandbox = up(1, state_dir=sandbox_folder)
        (sandbox.hosts[0].home / "deep").mkdir()
        said: list[str] = []
        assert down(state_dir=sandbox_folder, note=said.append) == ("sandbox1",)
        assert said == ["removing sandbox1"]
        assert labelled(sandbox) == []
        assert not sandbox_folder.exists()
        assert len(labelled(other)) == 1
    finally:
        down(state_dir=tmp_path / "other")


def test_down_keeps_a_file_that_is_not_the_sandboxs(sandbox_folder: Path) -> None:
    up(1, state_dir=sandbox_folder)
    (sandbox_folder / "notes.txt").write_text("mine")
    down(state_dir=sandbox_folder)
    assert [path.name for path in sandbox_folder.iterdir()] == ["notes.txt"]


def test_down_removes_what_only_root_may(
    sandbox_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = up(1, state_dir=sandbox_folder).hosts[0]
    mounted = f"{host.home}:/io"
    docker(
        "run", "--rm", "--volume", mounted, BASE_IMAGE, "install", "-d", "-m", "0", "/io/of-root"
    )

    def refuse(_path: Path) -> None:
        raise PermissionError

    monkeypatch.setattr("mlcube_remote.sandbox.homes.shutil.rmtree", refuse)
    down(state_dir=sandbox_folder)
    assert not sandbox_folder.exists()


def test_down_without_a_sandbox_is_fine(sandbox_folder: Path) -> None:
    assert down(state_dir=sandbox_folder) == ()
    assert status(state_dir=sandbox_folder).hosts == ()


def test_a_recipe_that_does_not_start_sshd_is_an_error(
    sandbox_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlcube_remote.sandbox.keys.GREETING_TIMEOUT_S", 0.3)
    monkeypatch.setattr("mlcube_remote.sandbox.keys.is_greeting", lambda _port: False)
    with pytest.raises(SandboxError, match="sandbox1: no SSH server at"):
        up(1, state_dir=sandbox_folder)


@pytest.mark.parametrize("flavour", ["docker", "dash", "fish", "tcsh", "busybox", "noisy"])
def test_every_login_shell_works(ssh_host: HostFactory, flavour: str) -> None:
    done = on(ssh_host(flavour), "echo $SHELL; docker --version")
    assert done.returncode == 0
    shell = "bash" if flavour in ("docker", "noisy") else flavour
    assert shell in done.stdout
    assert "Docker version" in done.stdout


def test_a_noisy_host_prints_on_both_streams(ssh_host: HostFactory) -> None:
    done = on(ssh_host("noisy"), "true")
    assert (done.stdout, done.stderr) == ("Welcome to this noisy host\n", "mind the step\n")


def test_a_busybox_host_has_only_busybox_tools(ssh_host: HostFactory) -> None:
    done = on(ssh_host("busybox"), "tail --help; ls -l /bin/sh")
    assert "BusyBox" in done.stdout + done.stderr
    assert "busybox" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize(("flavour", "program"), [("no-rsync", "rsync"), ("no-engine", "docker")])
def test_a_host_lacks_what_its_flavour_says(
    ssh_host: HostFactory, flavour: str, program: str
) -> None:
    assert on(ssh_host(flavour), program, "--version").returncode == 127


def test_a_host_without_permission_sees_the_socket_and_may_not_use_it(
    ssh_host: HostFactory,
) -> None:
    done = on(ssh_host("no-permission"), "docker", "ps")
    assert done.returncode != 0
    assert "permission denied" in done.stderr.lower()


def test_a_forced_command_answers_instead_of_ours(ssh_host: HostFactory) -> None:
    assert on(ssh_host("forced-command"), "echo yes").stdout == "no\n"


def test_sshd_takes_options_from_the_flavour_and_from_the_test(ssh_host: HostFactory) -> None:
    for host in (ssh_host("one-session"), ssh_host("docker", MaxSessions=1)):
        settings = host.exec(["/usr/sbin/sshd", "-T"]).output.decode()
        assert "maxsessions 1\n" in settings
        assert "passwordauthentication no\n" in settings


def test_a_tiny_disk_is_full_soon_and_known_to_the_engine(ssh_host: HostFactory) -> None:
    host = ssh_host("tiny-disk")
    done = on(host, "head -c 30000000 /dev/zero >big")
    assert "No space left" in done.stderr
    assert on(host, f"rm big; {IN_CONTAINER} touch /io/here; ls").stdout == "here\n"


def test_a_nested_host_has_an_engine_of_its_own(ssh_host: HostFactory) -> None:
    done = on(ssh_host("nested"), "docker", "ps", "--all", "--quiet")
    assert (done.returncode, done.stdout) == (0, "")
    done = on(ssh_host("nested"), f"{IN_CONTAINER} touch /io/here; ls")
    assert done.stdout == "here\n", done.stderr


def test_a_host_reaps_what_its_users_leave_running(ssh_host: HostFactory) -> None:
    host = ssh_host()
    assert on(host, "setsid sleep 0.1 >/dev/null 2>&1 </dev/null &").returncode == 0
    done = on(host, "sleep 0.5; ps -eo stat=")
    assert "Z" not in done.stdout


def test_a_host_knows_how_it_is_reached(ssh_host: HostFactory) -> None:
    made = ssh_host()
    assert (made.host.name, made.host.address, made.host.port) == (
        made.name,
        "127.0.0.1",
        made.port,
    )
    assert made.host.known_hosts == str(made.place.known_hosts)


def test_what_a_killed_session_left_is_swept_and_nothing_else(
    sandbox_folder: Path, tmp_path: Path, sweep: Callable[[], None]
) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()  # a process number that is not in use
    kept, lost = up(1, state_dir=sandbox_folder), tmp_path / f"sandbox-of-{dead.pid}"
    left = up(1, state_dir=lost)
    volume = docker("volume", "create", "--label", f"org.mlcommons.mlcube-remote.test={dead.pid}")
    sweep()
    assert (labelled(left), lost.exists()) == ([], False)
    assert len(labelled(kept)) == 1
    assert volume not in docker("volume", "ls", "--quiet").split()


def test_the_same_words_give_the_same_host(ssh_host: HostFactory) -> None:
    assert ssh_host("dash") is ssh_host("dash")
    assert ssh_host("dash").name != ssh_host("dash", private=True).name
