# SPDX-License-Identifier: Apache-2.0
"""What the sandbox asks of Docker, and the files that it writes, without an engine."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from mlcube_remote.errors import UsageError
from mlcube_remote.sandbox import (
    SandboxError,
    SandboxHost,
    engine,
    images,
    keys,
    lifecycle,
    paths,
    up,
)
from mlcube_remote.sandbox.container import SOCKET, Bind, Container, make_container
from mlcube_remote.sandbox.flavours import FLAVOURS, Flavour, get_flavour
from mlcube_remote.sandbox.paths import SandboxPaths

HOME = Bind(source="/somewhere/home", target="/somewhere/home")


def container_of(flavour: str) -> Container:
    return make_container(
        get_flavour(flavour),
        image="image",
        hostname="host1",
        keys=Path("/somewhere/keys"),
        home=HOME,
        engine_volume="volume",
    )


def install_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a docker program on PATH that runs *script*."""
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_every_flavour_keeps_its_home_and_reads_its_keys(flavour: str) -> None:
    host = container_of(flavour)
    assert HOME in host.binds
    assert Bind(source="/somewhere/keys", target="/run/sandbox", mode="ro") in host.binds
    assert host.environment["SANDBOX_HOME"] == HOME.target


@pytest.mark.parametrize(
    ("flavour", "has_socket"),
    [
        ("docker", True),
        ("no-permission", True),
        ("no-engine", False),
        ("nested", False),
        ("rootless", False),
        ("podman", False),
        ("apptainer", False),
    ],
)
def test_only_hosts_that_share_the_engine_have_its_socket(flavour: str, has_socket: bool) -> None:
    socket = Bind(source=str(SOCKET), target=str(SOCKET))
    assert (socket in container_of(flavour).binds) is has_socket


def test_only_an_inner_engine_gets_more_privileges_and_never_all() -> None:
    plain, nested = container_of("docker").options(), container_of("nested").options()
    assert "--cap-add" not in plain
    assert nested[nested.index("--cap-drop") + 1] == "SYS_RESOURCE"
    assert "volume:/var/lib/docker:rw" in nested
    assert "--privileged" not in nested


@pytest.mark.parametrize("flavour", ["rootless", "podman", "apptainer"])
def test_rootless_engines_get_one_capability_and_no_paths_of_the_machine(flavour: str) -> None:
    host = container_of(flavour)
    assert (host.cap_add, host.cgroupns) == (("SYS_ADMIN",), None)
    assert not any(bind.source.startswith("/sys") for bind in host.binds)


def test_podman_keeps_its_layers_on_a_volume() -> None:
    assert "volume:/var/lib/containers:rw" in container_of("podman").options()
    assert "volume" not in {bind.source for bind in container_of("apptainer").binds}


def test_the_user_without_permission_is_unknown_to_this_machine() -> None:
    assert container_of("no-permission").environment["SANDBOX_UID"] != str(os.getuid() or 1000)


def test_an_unknown_flavour_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no sandbox host of kind 'dcker'.*'docker'") as problem:
        up(1, "dcker")
    assert "docker" in str(problem.value.hint)


def test_a_sandbox_of_no_hosts_is_refused() -> None:
    with pytest.raises(SandboxError, match="at least one host, not 0"):
        up(0)


def test_more_flavours_than_hosts_are_refused() -> None:
    with pytest.raises(SandboxError, match="has at least 3 hosts, not 2") as problem:
        up(2, "docker,podman,apptainer")
    assert problem.value.hint == "--hosts 3"


def test_each_folder_is_a_sandbox_of_its_own() -> None:
    assert SandboxPaths(Path("/a")).id == SandboxPaths(Path("/a")).id
    assert SandboxPaths(Path("/a")).id != SandboxPaths(Path("/b")).id


def test_the_folder_is_below_the_state_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert paths.default_paths().root == Path("/state/mlcube-remote/sandbox")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/ada")
    assert paths.default_paths().root == Path("/home/ada/.local/state/mlcube-remote/sandbox")


@pytest.mark.parametrize(
    ("flavour", "platform"),
    [
        ("docker", "docker"),
        ("fish", "docker"),
        ("nested", "docker"),
        ("podman", "podman"),
        ("apptainer", "apptainer"),
    ],
)
def test_the_inventory_has_the_address_and_the_platform_of_each_host(
    tmp_path: Path, flavour: str, platform: str
) -> None:
    folder = SandboxPaths(tmp_path)
    host = SandboxHost(name="sandbox1", flavour=flavour, port=4022, home=folder.home("sandbox1"))
    paths.write_inventory(folder, [host])
    document = yaml.safe_load(folder.inventory.read_text())
    assert document == {
        "hosts": {
            "sandbox1": {
                "address": "127.0.0.1",
                "port": 4022,
                "user": "mlcube",
                "identity_file": str(tmp_path / "id_ed25519"),
                "known_hosts": str(tmp_path / "known_hosts"),
                "remote_root": str(tmp_path / "hosts/sandbox1/home/.mlcube-remote"),
                "platform": platform,
            }
        },
        "groups": {"sandbox": ["sandbox1"]},
    }


def test_hosts_take_several_flavours_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: dict[str, str] = {}

    def start(_paths: SandboxPaths, missing: Mapping[str, tuple[Flavour, str]]) -> None:
        started.update({name: kind.name for name, (kind, _image) in missing.items()})

    install_docker(tmp_path, monkeypatch, "exit 0")
    monkeypatch.setattr(lifecycle, "_start", start)
    monkeypatch.setattr(images, "ensure_image", lambda kind, _note: kind.name)
    up(5, "podman, apptainer", state_dir=tmp_path / "five")
    assert list(started.values()) == ["podman", "apptainer", "podman", "apptainer", "podman"]
    started.clear()
    up(flavour="docker,podman,apptainer", state_dir=tmp_path / "three")
    assert started == {"sandbox1": "docker", "sandbox2": "podman", "sandbox3": "apptainer"}
    started.clear()
    up(state_dir=tmp_path / "two")
    assert started == {"sandbox1": "docker", "sandbox2": "docker"}


def test_a_key_is_created_once_and_readable_only_by_its_user(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "id_ed25519"
    public = keys.ensure_key(path)
    assert public.startswith("ssh-ed25519 ")
    assert keys.ensure_key(path) == public
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_an_incomplete_key_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "id_ed25519"
    path.write_text("cut off")
    assert keys.ensure_key(path).startswith("ssh-ed25519 ")


def test_a_failure_of_ssh_keygen_is_reported_with_its_message(tmp_path: Path) -> None:
    path = tmp_path / "id_ed25519"
    path.with_name("id_ed25519.pub").mkdir()
    with pytest.raises(SandboxError, match="ssh-keygen: "):
        keys.ensure_key(path)


def test_without_ssh_keygen_the_error_has_the_command_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match="no ssh-keygen") as problem:
        keys.ensure_key(tmp_path / "id_ed25519")
    assert "ensure_engine.sh" in str(problem.value.hint)


def test_known_hosts_lines_name_the_port_and_drop_the_comment() -> None:
    line = keys.format_known_hosts_line(4022, "ssh-ed25519 AAAA me")
    assert line == "[127.0.0.1]:4022 ssh-ed25519 AAAA"


def test_without_docker_the_error_has_the_command_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match="no docker program") as problem:
        engine.docker("info")
    assert Path(str(problem.value.hint).removeprefix("sh ")).is_file()


@pytest.mark.parametrize(
    ("script", "message", "has_hint"),
    [
        ("echo first >&2; echo last words >&2; exit 1", "docker info: last words", False),
        ("exit 7", "docker info: exit code 7", False),
        ("echo Cannot connect to the Docker daemon >&2; exit 1", "Cannot connect", True),
    ],
)
def test_a_failure_of_the_engine_is_reported_with_its_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str, has_hint: bool
) -> None:
    install_docker(tmp_path, monkeypatch, script)
    with pytest.raises(SandboxError, match=message) as problem:
        engine.docker("info")
    assert (problem.value.hint is not None) is has_hint


TAKEN = "Error starting userland proxy: listen tcp4 127.0.0.1:32781: bind: address already in use"


def test_a_port_taken_in_the_meantime_is_chosen_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_docker(
        tmp_path,
        monkeypatch,
        f'echo "$@" >>{tmp_path}/log; [ "$1" = run ] || exit 0\n'
        f'[ "$(grep -c ^run {tmp_path}/log)" -lt 3 ] || {{ echo identity; exit 0; }}\n'
        f"echo '{TAKEN}' >&2; exit 125",
    )
    assert engine.start_container("host", 22, "image") == "identity"
    calls = (tmp_path / "log").read_text()
    started = r"run --detach --name host --publish 127\.0\.0\.1:([23]\d{4}):22 image\n"
    assert re.fullmatch(rf"(?:{started}rm --force --volumes host\n){{2}}{started}", calls)
    assert len(set(re.findall(started, calls))) > 1


@pytest.mark.parametrize(("words", "tries"), [(TAKEN, 10), ("no such image", 1)])
def test_a_container_that_never_starts_is_reported_with_the_engines_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, tries: int
) -> None:
    script = f"[ \"$1\" != run ] || {{ echo >>{tmp_path}/log; echo '{words}' >&2; exit 125; }}"
    install_docker(tmp_path, monkeypatch, script)
    with pytest.raises(SandboxError, match=words):
        engine.start_container("host", 22, "image")
    assert len((tmp_path / "log").read_text()) == tries


def test_an_engine_that_hangs_is_a_timeout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_docker(tmp_path, monkeypatch, "exec sleep 60")
    with pytest.raises(SandboxError, match=r"no answer in 0\.1 s"):
        engine.docker("info", timeout=0.1)


def test_the_base_image_is_pulled_if_a_registry_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_docker(tmp_path, monkeypatch, f'echo "$@" >>{tmp_path}/log')
    engine.ensure_base_image()
    assert (tmp_path / "log").read_text() == (
        "image ls --quiet debian:bookworm-slim\npull --quiet debian:bookworm-slim\n"
    )


def test_the_base_image_is_built_from_packages_if_no_registry_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_docker(tmp_path, monkeypatch, '[ "$1" = image ]')
    script = tmp_path / "bootstrap_image.sh"
    monkeypatch.setattr(engine, "_script", lambda _name: str(script))
    script.write_text(f'echo "$1" >{tmp_path}/made')
    engine.ensure_base_image()
    assert (tmp_path / "made").read_text() == "debian:bookworm-slim\n"
    script.write_text("echo no mirror >&2; exit 1")
    with pytest.raises(SandboxError, match="no mirror") as problem:
        engine.ensure_base_image()
    assert problem.value.hint == f"sudo sh {script} debian:bookworm-slim"


@pytest.mark.parametrize(
    ("flavour", "extended"),
    [
        ("nested", 1),
        ("rootless", 1),
        ("podman", 1),
        ("apptainer", 1),
        ("slurm", 2),
        ("slurm-accounting", 3),
    ],
)
def test_missing_images_are_built_in_order_with_a_note_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flavour: str, extended: int
) -> None:
    install_docker(tmp_path, monkeypatch, f'echo "$1" "$2" >>{tmp_path}/log')
    notes: list[str] = []
    image = images.ensure_image(get_flavour(flavour), notes.append)
    assert image.startswith(f"mlcube-remote/sandbox-{flavour}:")
    calls = (tmp_path / "log").read_text().splitlines()
    assert [line for line in calls if line != "image ls"] == [
        "pull --quiet",
        "build --tag",
        *["build --build-arg"] * extended,
    ]
    assert len(notes) == 2 + extended


def test_shell_files_run_in_every_shell() -> None:
    folder = Path(engine.__file__).parent
    images = [*folder.glob("images/host/sandbox-*"), *folder.glob("images/slurm*/sandbox-*")]
    scripts = [*folder.glob("*.sh"), *images]
    assert len(scripts) == 7
    for script in scripts:
        for shell in (["dash", "-n"], ["bash", "-n"]):
            done = subprocess.run([*shell, str(script)], capture_output=True, check=False)
            assert (done.returncode, done.stderr) == (0, b"")
