# SPDX-License-Identifier: Apache-2.0
"""A task plants links where a later upload, build or image belongs, and they lead nowhere.

A mount is not all that a host uses by its path: it writes uploads, and reads what an image is built
from, and the image of Singularity or Apptainer itself is a file in the workspace.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mlcube_remote.sandbox.engine import BASE_IMAGE
from tests.support.command_line import Completed, mirror, on
from tests.support.cubes import shell_task, write_cube

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.hosts import HostFactory, SshHost

SECRET = "secret-of-the-host"


@pytest.fixture
def host(ssh_host: HostFactory, request: pytest.FixtureRequest) -> Iterator[SshHost]:
    """A host whose user has a secret in a directory."""
    host = ssh_host(getattr(request, "param", "docker"))
    forget_cubes = ["sh", "-c", f"rm -rf {host.home}/.mlcube-remote/cubes/* /srv/*"]
    host.exec(forget_cubes)  # those of other modules
    made = f"mkdir -p {host.home}/private; echo {SECRET} >{host.home}/private/file"
    host.exec(["su", "mlcube", "-c", made])
    yield host
    host.exec(["rm", "-rf", f"{host.home}/private"])
    host.exec(forget_cubes)


def plant(target: str, name: str) -> dict[str, Any]:
    """Return a task that replaces an entry of its output by a link."""
    script = f'rm -rf "${{0#*=}}/{name}"; ln -s "{target}" "${{0#*=}}/{name}"; ls -l "${{0#*=}}/"'
    return shell_task(script, outputs={"out": "made/"})


def refused(done: Completed, host: SshHost) -> str:
    """Make sure that a run was refused and that the secret stayed; return the reason."""
    assert done.returncode == 118, (done.stdout, done.stderr)
    assert SECRET.encode() not in done.stdout + done.stderr
    (job,) = json.loads(done.stdout)["jobs"]
    return str(job["error"]["message"])


@pytest.mark.parametrize("target", ["", "/private", "/private/file", "/new"])
def test_an_upload_is_not_written_through_a_link(
    host: SshHost, tmp_path: Path, target: str
) -> None:
    """The name and the content of the file may be the cube's, such as ".profile"."""
    script = f'rm -f "${{0#*=}}"; ln -s "{host.home}{target}" "${{0#*=}}"; ls -l "${{0#*=}}"'
    task = shell_task(script, inputs={"a": {"type": "file", "default": "local:gift/.owned"}})
    cube = write_cube(tmp_path / "cube", {"swap": task})
    gift = tmp_path / "gift/.owned"
    gift.parent.mkdir()
    gift.write_text("one")
    where = f"a=local:{gift}"
    assert b"->" in on(host, cube, "--task=swap", where).stdout
    before = host.exec(["find", str(host.home), "-not", "-path", "*/.mlcube-remote*", "-ls"])
    gift.write_text("evil, again")
    done = on(host, cube, "--task=swap", where)
    assert done.returncode == 0, done.stderr
    after = host.exec(["find", str(host.home), "-not", "-path", "*/.mlcube-remote*", "-ls"])
    assert after.output == before.output
    assert host.exec(["cat", f"{host.home}/private/file"]).output == f"{SECRET}\n".encode()


@pytest.mark.parametrize("host", ["docker", "podman"], indirect=True)
@pytest.mark.parametrize("name", ["context", "recipe"])
def test_an_image_is_not_built_through_a_link(host: SshHost, tmp_path: Path, name: str) -> None:
    platform = "podman" if "podman" in host.name else "docker"
    target = "private" if name == "context" else "private/file"
    section = {
        "image": f"mlcube-remote-test-{tmp_path.name}".lower(),
        "build_context": "workspace/made/context" if name == "context" else "context",
        "build_file": "${runtime.root}/workspace/made/recipe",
        "build_strategy": "always",
    }
    if name == "context":
        section["build_file"] = "${runtime.root}/recipe"
    tasks = {
        "plant": plant(f"{host.home}/{target}", name),
        "look": shell_task("cat /copied/*", outputs={"out": "out/"}),
    }
    cube = write_cube(tmp_path / "cube", tasks, docker=section)
    (cube / "context").mkdir()
    (cube / "recipe").write_text(f"FROM {BASE_IMAGE}\nCOPY . /copied\n")
    # It is part of an output, and so it is not sent again.
    (cube / "workspace/made").mkdir()
    (cube / "workspace/made/recipe").write_text("FROM scratch\n")
    pulled = (f"-P{platform}.image={BASE_IMAGE}", f"-P{platform}.build_strategy=pull")
    done = on(host, cube, "--task=plant", f"--platform={platform}", *pulled)
    assert done.returncode == 0, done.stderr
    options = (f"--platform={platform}", "--output=json")
    reason = refused(on(host, cube, "--task=look", *options), host)
    assert f"workspace/made/{name} leads to {host.home}/{target}" in reason


@pytest.mark.parametrize("host", ["apptainer"], indirect=True)
@pytest.mark.parametrize("target", ["/private", "/private/file"])
def test_no_other_file_or_directory_becomes_an_image(
    host: SshHost, tmp_path: Path, target: str
) -> None:
    """Apptainer takes a directory for the root of a container, which then contains its files."""
    image = "made/image.sif"
    section = {"image": image, "image_dir": "${runtime.workspace}"}
    section["build_file"] = f"docker://{BASE_IMAGE}"
    tasks = {
        "plant": plant(f"{host.home}{target}", "image.sif"),
        "look": shell_task(f"echo {SECRET}", outputs={"out": "out/"}),
    }
    cube = write_cube(tmp_path / "cube", tasks, singularity=section)
    options = ("--platform=apptainer", "--output=json")
    reason = refused(on(host, cube, "--task=plant,look", *options), host)
    assert "task look was not started: " in reason
    assert f"workspace/{image} leads to {host.home}{target}" in reason
    stamp = mirror(host) / "workspace/made/.image.sif.recipe"
    assert stamp.is_file()
    # A build writes beside the image, where a task may have planted links, too.
    (host.home / "private/.bashrc").write_text("mine")
    for planted in (stamp, stamp.with_name(f"{stamp.name}.new")):
        planted.unlink(missing_ok=True)
        planted.symlink_to(host.home / "private/.bashrc")
    stamp.with_name("image.sif").unlink()
    done = on(host, cube, "--task=look", *options)
    assert done.returncode == 0, done.stderr
    assert (host.home / "private/.bashrc").read_text() == "mine"
    assert not stamp.is_symlink()
