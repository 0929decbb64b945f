# SPDX-License-Identifier: Apache-2.0
"""Hosts that lack something, or mean harm: one clear line each, the right exit code, no damage."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from mlcube_remote.dispatch.run_context import FAST_VARIABLE
from mlcube_remote.sandbox.engine import BASE_IMAGE, docker

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost

Completed = subprocess.CompletedProcess[str]


def mlcube_remote(*arguments: str) -> Completed:
    return subprocess.run(
        [sys.executable, "-m", "mlcube_remote", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def run(host: SshHost, cube: Path, *arguments: str) -> Completed:
    return mlcube_remote(
        *("run", f"--inventory={host.inventory}", f"--host={host.name}", f"--mlcube={cube}"),
        *("--task=make", *arguments),
    )


def change(host: SshHost, **keys: object) -> None:
    """Change the host's entry in its inventory."""
    described = yaml.safe_load(host.inventory.read_text())
    described["hosts"][host.name] |= keys
    host.inventory.write_text(yaml.safe_dump(described))


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    root = tmp_path / "cube"
    (root / "workspace/out").mkdir(parents=True)
    (root / "workspace/out/mine.txt").write_text("mine")
    (root / "workspace/notes.txt").write_text("notes")
    task = {
        "entrypoint": "/bin/sh -c 'echo made >/mlcube_io0/new.txt'",
        "parameters": {"outputs": {"out": "out/"}},
    }
    described = {"name": "probe", "docker": {"image": BASE_IMAGE}, "tasks": {"make": task}}
    (root / "mlcube.yaml").write_text(yaml.safe_dump(described))
    return root


LACKING = {
    "no-rsync": "rsync was not found",
    "no-engine": "docker was not found",
    "no-permission": "no permission to use docker",
    "forced-command": "does not give a usable shell: got 'no",
}


@pytest.mark.parametrize("flavour", LACKING)
def test_what_a_host_lacks_is_named(ssh_host: HostFactory, cube: Path, flavour: str) -> None:
    host = ssh_host(flavour)
    done = run(host, cube)
    assert done.returncode == 122
    assert LACKING[flavour] in done.stderr
    assert "hint: " in done.stderr
    checked = mlcube_remote("hosts", "check", f"--inventory={host.inventory}", host.name)
    assert checked.returncode == 122
    assert "NOT READY" in checked.stdout
    assert LACKING[flavour] in checked.stdout
    assert ("FAIL shell  " in checked.stdout) == (flavour == "forced-command")


def test_who_may_not_use_docker_is_told_which_group_may(ssh_host: HostFactory, cube: Path) -> None:
    host = ssh_host("no-permission", private=True)
    group = "groupadd --non-unique --gid $(stat -c %g /var/run/docker.sock) whales"
    host.exec(["sh", "-c", f"getent group whales || {group}"])
    owner = host.exec(["stat", "-c", "%G", "/var/run/docker.sock"]).output.decode().strip()
    done = run(host, cube)
    assert done.returncode == 122
    assert f"hint: on {host.name}: sudo usermod -aG {owner} $USER" in done.stderr


def test_a_fit_host_passes_its_check(ssh_host: HostFactory) -> None:
    host = ssh_host()
    arguments = ("hosts", "check", f"--inventory={host.inventory}", host.name, "--output=json")
    checked = mlcube_remote(*arguments)
    assert checked.returncode == 0, checked.stdout
    (answer,) = json.loads(checked.stdout)["hosts"]
    names = [check["name"] for check in answer["checks"]]
    assert names[:3] == ["reachable", "host key", "login"]
    assert names[3:] == ["programs", "directory", "rsync", "engine", "gpu", "disk"]
    assert all(check["passed"] for check in answer["checks"])


def test_an_old_rsync_is_refused(ssh_host: HostFactory, cube: Path) -> None:
    host = ssh_host(private=True)
    fake = "#!/bin/sh\necho rsync  version 3.0.9  protocol version 30\n"
    host.exec(["sh", "-c", f"printf '%s' '{fake}' >/usr/local/bin/rsync"])
    host.exec(["chmod", "755", "/usr/local/bin/rsync"])
    done = run(host, cube)
    assert done.returncode == 122
    assert "rsync 3.0.9 is too old (required: 3.1.0 or newer)" in done.stderr


def test_an_engine_that_does_not_run_is_named(ssh_host: HostFactory, cube: Path) -> None:
    host = ssh_host()
    change(host, docker={"docker": "docker -H unix:///run/nothing.sock"})
    try:
        done = run(host, cube)
    finally:
        change(host, docker={"docker": "docker"})
    assert done.returncode == 122
    assert "cannot connect to docker -H unix:///run/nothing.sock" in done.stderr


@pytest.mark.parametrize(
    ("prepare", "expected"),
    [
        ("ln -s /tmp {root}", "is a symbolic link"),
        ("mkdir -m 0777 {root} && chown mlcube {root}", "can be written by others"),
        ("mkdir -m 0755 {root}", "is not writable"),
        ("touch {root}", "File exists"),
    ],
)
def test_a_directory_that_others_could_use_is_refused(
    ssh_host: HostFactory, cube: Path, prepare: str, expected: str
) -> None:
    host = ssh_host(private=True)
    root = f"{host.home}/elsewhere"
    host.exec(["sh", "-c", prepare.format(root=root)])
    change(host, remote_root=root)
    done = run(host, cube)
    assert done.returncode == 122
    assert "remote_root cannot be used" in done.stderr
    assert expected in done.stderr


def test_an_image_that_cannot_be_pulled_is_told_in_the_engines_words(
    ssh_host: HostFactory, cube: Path
) -> None:
    done = run(ssh_host(), cube, "-Pdocker.image=127.0.0.1:1/absent/nothing:1")
    assert done.returncode == 122
    assert "docker.image: pull of image 127.0.0.1:1/absent/nothing:1 failed" in done.stderr
    assert "refused" in done.stderr


def test_a_failing_build_shows_its_last_lines(ssh_host: HostFactory, cube: Path) -> None:
    (cube / "Dockerfile").write_text(f"FROM {BASE_IMAGE}\nRUN echo so-far-so-good && exit 9\n")
    options = ("-Pdocker.image=mlcube-remote-test/never:1", "-Pdocker.build_strategy=auto")
    # Or the engine leaves the container of the step that failed.
    done = run(ssh_host(), cube, *options, "-Pdocker.build_args=--force-rm")
    assert done.returncode == 122
    assert "docker.build_file: build of image mlcube-remote-test/never:1 failed" in done.stderr
    assert "returned a non-zero code: 9" in done.stderr


GPU = "--gpus=device=GPU-of-no-host"
NOT_HONOURED = [
    ("docker", GPU, "docker cannot apply --gpus"),
    ("docker", "--network=nonesuch", "docker cannot apply --network"),
    ("docker", "--cpu=4096", "docker cannot apply --memory or --cpu"),
    ("podman", GPU, "podman cannot apply --gpus"),
    ("podman", "--security=bogus", "podman cannot apply --security"),
    ("apptainer", GPU, f"apptainer cannot apply {GPU}"),
    ("apptainer", "--network=bridge", "apptainer cannot apply --network"),
    ("apptainer", "--memory=1g", "apptainer cannot apply --memory or --cpu"),
]


@pytest.mark.parametrize(("flavour", "option", "expected"), NOT_HONOURED)
def test_an_option_that_a_host_cannot_honour_is_named(
    ssh_host: HostFactory, cube: Path, flavour: str, option: str, expected: str
) -> None:
    host = ssh_host(flavour)
    done = run(host, cube, f"--platform={flavour}", option)
    assert done.returncode == 122, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: {host.name}: {expected}")


@pytest.fixture(scope="module")
def foreign_image() -> str:
    """Load an image that says it is for another machine: an archive with one empty layer."""
    name = "mlcube-remote-test/foreign:1"
    layer = _archive({})
    described = {
        "architecture": "arm64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    contents = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    archive = _archive(
        {
            "config.json": json.dumps(described).encode(),
            "layer.tar": layer,
            "manifest.json": json.dumps(contents).encode(),
        }
    )
    docker("load", stdin=archive)
    return name


def _archive(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return made.getvalue()


def test_an_image_for_another_machine_is_refused(
    ssh_host: HostFactory, cube: Path, foreign_image: str
) -> None:
    done = run(ssh_host(), cube, f"-Pdocker.image={foreign_image}")
    assert done.returncode == 122
    assert f"image {foreign_image} is for arm64, the host is amd64" in done.stderr


def test_an_entrypoint_that_is_missing_is_told_apart_from_a_failure(
    ssh_host: HostFactory, cube: Path
) -> None:
    done = run(ssh_host(), cube, "-Ptasks.make.entrypoint=/bin/nothere")
    assert done.returncode == 127
    assert "failed to start: " in done.stderr


def test_a_cube_cannot_ask_for_privileges(ssh_host: HostFactory, cube: Path) -> None:
    described = yaml.safe_load((cube / "mlcube.yaml").read_text())
    described["docker"]["cpu_args"] = "--privileged"
    (cube / "mlcube.yaml").write_text(yaml.safe_dump(described))
    done = run(ssh_host(), cube)
    assert done.returncode == 2
    assert "--privileged" in done.stderr
    assert "--trust-cube" in done.stderr


ODD = {
    "a link that leaves": ('ln -s /etc/passwd "$w/out/link"', "'out/link' is a link to"),
    "a link upwards": ('ln -s ../../../x "$w/out/link"', "'out/link' is a link to '../../../x'"),
    "a pipe": ('mkfifo "$w/out/pipe"', "'out/pipe' is neither a file nor a directory"),
}


@pytest.fixture
def without_sent_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let rsync pull all outputs: these hosts attack through it.

    What a host sends with the end of a task is attacked in
    tests/unit/dispatch/test_run_job_end_answers.py.
    """
    monkeypatch.setenv(FAST_VARIABLE, "0")


def _wrap_rsync(host: SshHost, script: str) -> None:
    """Make the host's rsync do harm before it sends, and send everything."""
    wrapper = f"""#!/bin/sh
case "$*" in
*--sender*)
    w=$(echo {host.home}/.mlcube-remote/cubes/*/workspace)
    {script}
    ;;
esac
exec /usr/bin/rsync "$@"
"""
    host.exec(["sh", "-c", f"cat >/usr/local/bin/rsync <<'END'\n{wrapper}END"])
    host.exec(["chmod", "755", "/usr/local/bin/rsync"])


@pytest.mark.usefixtures("without_sent_outputs")
@pytest.mark.parametrize("what", ODD)
def test_an_odd_entry_is_omitted_and_the_rest_is_pulled(
    ssh_host: HostFactory, cube: Path, what: str
) -> None:
    host = ssh_host(private=True)
    script, expected = ODD[what]
    _wrap_rsync(host, script)
    done = run(host, cube)
    assert done.returncode == 0, done.stderr
    assert f"not pulled: {expected}" in done.stderr
    pulled = {path.name for path in (cube / "workspace/out").iterdir()}
    assert pulled == {"mine.txt", "new.txt"}


@pytest.mark.usefixtures("without_sent_outputs")
def test_a_file_in_place_of_a_directory_changes_nothing(ssh_host: HostFactory, cube: Path) -> None:
    host = ssh_host(private=True)
    _wrap_rsync(host, 'rm -rf "$w/out"; echo file >"$w/out"')
    before = _snapshot(cube)
    done = run(host, cube)
    assert done.returncode == 1, done.stderr
    assert "'out' is a file, but was declared as a directory" in done.stderr
    assert "did not produce its output out" in done.stderr
    assert _snapshot(cube) == before


@pytest.mark.usefixtures("without_sent_outputs")
def test_names_that_were_not_requested_never_arrive(ssh_host: HostFactory, cube: Path) -> None:
    host = ssh_host(private=True)
    _wrap_rsync(host, 'echo evil >"$w/notes.txt"; echo evil >"$w/mlcube.yaml"')
    done = run(host, cube)
    assert done.returncode == 0, done.stderr
    assert (cube / "workspace/notes.txt").read_text() == "notes"
    assert (cube / "workspace/out/new.txt").read_text() == "made\n"
    assert not (cube / "workspace/mlcube.yaml").exists()


@pytest.mark.usefixtures("without_sent_outputs")
def test_a_sender_that_adds_files_is_refused(ssh_host: HostFactory, cube: Path) -> None:
    """A hostile sender may answer for more than it was asked: here, for the whole workspace."""
    host = ssh_host(private=True)
    sender = r"""#!/bin/sh
case "$*" in
*--sender*)
    cd "$(echo HOME/.mlcube-remote/cubes/*/workspace)" || exit 1
    echo evil >authorized_keys
    exec /usr/bin/rsync --server --sender -lrte.LsfxCIvu . authorized_keys out
    ;;
esac
exec /usr/bin/rsync "$@"
"""
    text = sender.replace("HOME", str(host.home))
    host.exec(["sh", "-c", f"cat >/usr/local/bin/rsync <<'END'\n{text}END"])
    host.exec(["chmod", "755", "/usr/local/bin/rsync"])
    before = _snapshot(cube)
    done = run(host, cube)
    assert done.returncode in (118, 121), done.stderr
    assert _snapshot(cube) == before


def _snapshot(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def test_a_host_key_that_changed_is_never_accepted(
    ssh_host: HostFactory, cube: Path, tmp_path: Path
) -> None:
    host = ssh_host()
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")], check=True
    )
    kind, blob = (tmp_path / "other.pub").read_text().split()[:2]
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{host.port} {kind} {blob}\n")
    described = yaml.safe_load(host.inventory.read_text())
    described["hosts"][host.name] |= {"known_hosts": str(known), "host_keys": "accept-new"}
    inventory = tmp_path / "hosts.yaml"
    inventory.write_text(yaml.safe_dump(described))
    arguments = ("run", f"--inventory={inventory}", f"--mlcube={cube}", "--task=make")
    done = mlcube_remote(*arguments, f"--host={host.name}")
    assert done.returncode == 120
    assert "CHANGED" in done.stderr
    assert f"ssh-keygen -R '[127.0.0.1]:{host.port}' -f {known}" in done.stderr
    assert known.read_text().count("\n") == 1
