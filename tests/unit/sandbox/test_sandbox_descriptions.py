# SPDX-License-Identifier: Apache-2.0
"""What the sandbox asks of Docker and writes down, told without an engine."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

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
from mlcube_remote.sandbox.container import SOCKET, Bind, Container, describe
from mlcube_remote.sandbox.flavours import FLAVOURS, Flavour, named
from mlcube_remote.sandbox.paths import Place

HOME = Bind(source="/somewhere/home", target="/somewhere/home")


def described(flavour: str) -> Container:
    return describe(
        named(flavour),
        image="image",
        hostname="host1",
        keys=Path("/somewhere/keys"),
        home=HOME,
        engine_volume="volume",
    )


def docker_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a docker program on PATH that does as *script* says."""
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


def test_ports_are_published_on_loopback_only() -> None:
    options = described("docker").options()
    assert options[options.index("--publish") + 1] == "127.0.0.1::22"
    assert options.count("--publish") == 1


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_every_flavour_keeps_its_home_and_reads_its_keys(flavour: str) -> None:
    host = described(flavour)
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
        ("podman", False),
        ("apptainer", False),
    ],
)
def test_only_hosts_that_share_the_engine_have_its_socket(flavour: str, has_socket: bool) -> None:
    assert (Bind(source=str(SOCKET), target=str(SOCKET)) in described(flavour).binds) is has_socket


def test_only_an_engine_inside_gets_more_rights_and_never_all_of_them() -> None:
    plain, nested = described("docker").options(), described("nested").options()
    assert "--cap-add" not in plain
    assert nested[nested.index("--cap-drop") + 1] == "SYS_RESOURCE"
    assert "volume:/var/lib/docker:rw" in nested
    assert "--privileged" not in nested


@pytest.mark.parametrize("flavour", ["podman", "apptainer"])
def test_engines_of_ordinary_users_get_one_right_and_nothing_of_the_machines(flavour: str) -> None:
    host = described(flavour)
    assert (host.cap_add, host.cgroupns) == (("SYS_ADMIN",), None)
    assert not any(bind.source.startswith("/sys") for bind in host.binds)


def test_podman_keeps_its_layers_on_a_volume() -> None:
    assert "volume:/var/lib/containers:rw" in described("podman").options()
    assert "volume" not in {bind.source for bind in described("apptainer").binds}


def test_the_user_without_permission_is_nobody_known_here() -> None:
    assert described("no-permission").environment["SANDBOX_UID"] != str(os.getuid() or 1000)


def test_an_unknown_flavour_names_the_known_ones() -> None:
    with pytest.raises(SandboxError, match="no sandbox host of kind 'nope'") as problem:
        up(1, "nope")
    assert "docker" in str(problem.value.hint)


def test_a_sandbox_of_no_hosts_is_refused() -> None:
    with pytest.raises(SandboxError, match="at least one host, not 0"):
        up(0)


def test_more_kinds_than_hosts_are_refused() -> None:
    with pytest.raises(SandboxError, match="has at least 3 hosts, not 2") as problem:
        up(2, "docker,podman,apptainer")
    assert problem.value.hint == "--hosts 3"


def test_two_places_are_two_sandboxes() -> None:
    assert Place(Path("/a")).id == Place(Path("/a")).id
    assert Place(Path("/a")).id != Place(Path("/b")).id


def test_the_place_is_below_the_state_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert paths.default_place().root == Path("/state/mlcube-remote/sandbox")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/ada")
    assert paths.default_place().root == Path("/home/ada/.local/state/mlcube-remote/sandbox")


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
def test_the_inventory_says_how_to_reach_each_host_and_what_it_runs(
    tmp_path: Path, flavour: str, platform: str
) -> None:
    where = Place(tmp_path)
    host = SandboxHost(name="sandbox1", flavour=flavour, port=4022, home=where.home("sandbox1"))
    paths.write_inventory(where, [host])
    document = yaml.safe_load(where.inventory.read_text())
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


def test_hosts_take_several_kinds_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: dict[str, str] = {}

    def start(_where: Place, missing: Mapping[str, tuple[Flavour, str]]) -> None:
        started.update({name: kind.name for name, (kind, _image) in missing.items()})

    docker_that(tmp_path, monkeypatch, "exit 0")
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


def test_a_key_is_made_once_and_is_its_users_alone(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "id_ed25519"
    public = keys.ensure_key(path)
    assert public.startswith("ssh-ed25519 ")
    assert keys.ensure_key(path) == public
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_half_a_key_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "id_ed25519"
    path.write_text("cut off")
    assert keys.ensure_key(path).startswith("ssh-ed25519 ")


def test_a_key_that_cannot_be_made_is_an_error_in_ssh_keygens_words(tmp_path: Path) -> None:
    path = tmp_path / "id_ed25519"
    path.with_name("id_ed25519.pub").mkdir()
    with pytest.raises(SandboxError, match="ssh-keygen: "):
        keys.ensure_key(path)


def test_a_machine_without_ssh_keygen_is_told_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match="no ssh-keygen") as problem:
        keys.ensure_key(tmp_path / "id_ed25519")
    assert "ensure_engine.sh" in str(problem.value.hint)


def test_known_hosts_lines_name_the_port_and_drop_the_comment() -> None:
    assert keys.known_hosts_line(4022, "ssh-ed25519 AAAA me") == "[127.0.0.1]:4022 ssh-ed25519 AAAA"


def test_a_machine_without_docker_is_told_what_to_run(
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
def test_what_the_engine_refuses_is_told_in_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str, has_hint: bool
) -> None:
    docker_that(tmp_path, monkeypatch, script)
    with pytest.raises(SandboxError, match=message) as problem:
        engine.docker("info")
    assert (problem.value.hint is not None) is has_hint


TAKEN = "Error starting userland proxy: listen tcp4 127.0.0.1:32781: bind: address already in use"


def test_a_port_that_was_taken_meanwhile_is_chosen_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker_that(
        tmp_path,
        monkeypatch,
        f'echo "$@" >>{tmp_path}/log; [ "$1" = run ] || exit 0\n'
        f'[ "$(grep -c ^run {tmp_path}/log)" -lt 3 ] || {{ echo identity; exit 0; }}\n'
        f"echo '{TAKEN}' >&2; exit 125",
    )
    assert engine.start("host", "image") == "identity"
    once = ["run --detach --name host image", "rm --force --volumes host"]
    assert (tmp_path / "log").read_text().splitlines() == [*once, *once, once[0]]


@pytest.mark.parametrize(("words", "tries"), [(TAKEN, 5), ("no such image", 1)])
def test_a_container_that_never_starts_is_told_in_the_engines_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, tries: int
) -> None:
    script = f"[ \"$1\" != run ] || {{ echo >>{tmp_path}/log; echo '{words}' >&2; exit 125; }}"
    docker_that(tmp_path, monkeypatch, script)
    with pytest.raises(SandboxError, match=words):
        engine.start("host", "image")
    assert len((tmp_path / "log").read_text()) == tries


def test_an_engine_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker_that(tmp_path, monkeypatch, "exec sleep 60")
    with pytest.raises(SandboxError, match=r"no answer in 0\.1 s"):
        engine.docker("info", timeout=0.1)


def test_the_base_image_is_pulled_where_a_registry_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker_that(tmp_path, monkeypatch, f'echo "$@" >>{tmp_path}/log')
    engine.ensure_base_image()
    assert (tmp_path / "log").read_text() == (
        "image ls --quiet debian:bookworm-slim\npull --quiet debian:bookworm-slim\n"
    )


def test_the_base_image_is_made_of_packages_where_no_registry_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker_that(tmp_path, monkeypatch, '[ "$1" = image ]')
    script = tmp_path / "bootstrap_image.sh"
    monkeypatch.setattr(engine, "_script", lambda _name: str(script))
    script.write_text(f'echo "$1" >{tmp_path}/made')
    engine.ensure_base_image()
    assert (tmp_path / "made").read_text() == "debian:bookworm-slim\n"
    script.write_text("echo no mirror >&2; exit 1")
    with pytest.raises(SandboxError, match="no mirror") as problem:
        engine.ensure_base_image()
    assert problem.value.hint == f"sudo sh {script} debian:bookworm-slim"


@pytest.mark.parametrize("flavour", ["nested", "podman", "apptainer"])
def test_images_that_are_absent_are_built_in_order_and_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flavour: str
) -> None:
    docker_that(tmp_path, monkeypatch, f'echo "$1" "$2" >>{tmp_path}/log')
    notes: list[str] = []
    image = images.ensure_image(named(flavour), notes.append)
    assert image.startswith(f"mlcube-remote/sandbox-{flavour}:")
    said = (tmp_path / "log").read_text().splitlines()
    assert [line for line in said if line != "image ls"] == [
        "pull --quiet",
        "build --tag",
        "build --build-arg",
    ]
    assert len(notes) == 3


def test_shell_files_run_in_every_shell() -> None:
    folder = Path(engine.__file__).parent
    scripts = [*folder.glob("*.sh"), *folder.glob("images/host/sandbox-*")]
    assert len(scripts) == 4
    for script in scripts:
        for shell in (["dash", "-n"], ["bash", "-n"]):
            done = subprocess.run([*shell, str(script)], capture_output=True, check=False)
            assert (done.returncode, done.stderr) == (0, b"")
