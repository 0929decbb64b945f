# SPDX-License-Identifier: Apache-2.0
"""One call starts a job, but only on a host, an image and a mirror that are as the client knows."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from mlcube_remote.facts.probe import parse_facts
from mlcube_remote.remote import status, supervisor
from mlcube_remote.transport.base import Reply
from mlcube_remote.transport.quoting import quote_words
from tests.support.shell_library import Call, Completed, claim, connected, facts, records, state
from tests.support.waiting import wait_for

ENGINE = '#!/bin/sh\ncat "${0%/*}/image"\n'


@attrs.define
class Setup:
    """A host as an earlier run has left it."""

    call: Call
    top: Path
    known: tuple[str, str, str] = ("", "", "")
    """Host, image and SHA-256 of the mirror, as the client knows them."""

    @property
    def root(self) -> Path:
        return self.top / "root"

    @property
    def cube(self) -> Path:
        return self.root / "cubes/c"

    @property
    def job(self) -> Path:
        return self.root / "jobs/j1"

    @property
    def lock(self) -> Path:
        return self.root / "locks/w"

    @property
    def probe(self) -> list[str]:
        return [str(self.root), "cubes/c", str(self.top / "data")]

    @property
    def image(self) -> list[str]:
        return ["an image", str(self.top / "bin/engine")]

    @property
    def mirror(self) -> list[str]:
        """The arguments of mlcr_describe_mirror: cube, recipe; input; workspace."""
        names = ("", "mlcube.yaml", "workspace/in put", "workspace")
        return ["2", "1", *(str(self.cube / name) for name in names)]

    def look(self) -> None:
        """Ask for everything that the client knows."""
        probed = self.call("mlcr_probe_host", *self.probe)
        lasting = parse_facts("h", Reply(0, probed.stdout, b""), 0, 0).lasting
        image = self.call("mlcr_print_image_platform", *self.image, mlcr_root=str(self.root))
        described = self.call("mlcr_describe_mirror", *self.mirror)
        assert (image.returncode, described.returncode) == (0, 0)
        digest = hashlib.sha256(described.stdout).hexdigest()
        self.known = (lasting, image.stdout.decode().rstrip("\n"), digest)

    def start(self, script: str = "true") -> Completed:
        """Start the job if everything is as it is known."""
        host, image, mirror = self.known
        argv = quote_words(["sh", "-c", script])
        task = ["task", argv, "env", "", "", "", "", "", ""]
        launched = [str(self.job), supervisor(), "0", "", quote_words([str(self.lock), "", ""])]
        words = [str(self.job), "{}", str(self.lock), "", ""]
        return self.call(
            "mlcr_start_unchanged",
            *(host, quote_words(self.probe), "", "", quote_words(self.image), image),
            *(quote_words(self.mirror), mirror, quote_words(words)),
            *(*launched, "0", *task),
        )


@pytest.fixture
def setup(call: Call, tmp_path: Path) -> Setup:
    setup = Setup(call, tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/engine").write_text(ENGINE)
    (tmp_path / "bin/engine").chmod(0o755)
    (tmp_path / "bin/image").write_text("linux/amd64 sha256:1 []\n")
    assert call("mlcr_probe_host", *setup.probe).returncode == 0
    (setup.cube / "workspace").mkdir()
    (setup.cube / "mlcube.yaml").write_text("name: c\n")
    (setup.cube / "workspace/in put").write_text("one\n")
    setup.look()
    return setup


def test_an_unchanged_job_is_started(setup: Setup) -> None:
    done = setup.start()
    assert dict(facts(done))["root"] == str(setup.root)
    assert "changed" not in dict(records(done))
    wait_for(lambda: state(setup.call, setup.job) == "ended")


def test_outputs_and_a_new_owner_of_inputs_change_nothing(setup: Setup) -> None:
    (setup.cube / "workspace/out").mkdir()
    text = setup.cube / "workspace/in put"
    os.chown(text, os.getuid(), os.getgid())  # changes the time of change
    assert setup.start().returncode == 0
    wait_for(lambda: state(setup.call, setup.job) == "ended")


def edit(path: Path, text: str) -> None:
    """Change a file, but not its size and time of modification."""
    about = path.stat()
    path.write_text(text)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def restore(path: Path) -> None:
    """Replace a file by a copy with its content, size and times."""
    shutil.copy2(path, path.with_name("saved"))
    path.with_name("saved").replace(path)


def lead_away(path: Path) -> None:
    """Replace a directory by a link to it."""
    path.rename(path.with_name("moved"))
    path.symlink_to("moved")


CHANGES: dict[str, tuple[str, Callable[[Setup], object]]] = {
    "another remote_root is mounted": (
        "host",
        lambda at: (at.root / "id").write_text("another\n"),
    ),
    "a path of the host is there now": ("host", lambda at: (at.top / "data").mkdir()),
    "another rsync": ("host", lambda at: (at.root / "rsync").write_text(f"9 {which('rsync')}\n")),
    "no image": ("image", lambda at: (at.top / "bin/image").unlink()),
    "another image": ("image", lambda at: (at.top / "bin/image").write_text("linux/amd64 2 []")),
    "the recipe was edited": ("mirror", lambda at: edit(at.cube / "mlcube.yaml", "name: d\n")),
    "the recipe was restored": ("mirror", lambda at: restore(at.cube / "mlcube.yaml")),
    "an input was edited": (
        "mirror",
        lambda at: (at.cube / "workspace/in put").write_text("two\n"),
    ),
    "an input was restored": ("mirror", lambda at: restore(at.cube / "workspace/in put")),
    "an input is gone": ("mirror", lambda at: (at.cube / "workspace/in put").unlink()),
    "an input can be executed": (
        "mirror",
        lambda at: (at.cube / "workspace/in put").chmod(0o755),
    ),
    "a file more": ("mirror", lambda at: (at.cube / "more").touch()),
    "a link instead of the workspace": ("mirror", lambda at: lead_away(at.cube / "workspace")),
}


def which(program: str) -> str:
    found = shutil.which(program)
    assert found is not None
    return found


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_is_started_if_something_differs(setup: Setup, change: str) -> None:
    what, make = CHANGES[change]
    make(setup)
    done = setup.start(f"touch '{setup.top}/ran'")
    assert done.returncode == status.CHANGED, done.stderr
    answer = dict(records(done))
    assert answer["changed"] == what
    assert answer["now"], "the answer to the probe is of use all the same"
    assert not setup.job.exists()
    assert not (setup.top / "ran").exists()
    # The job can be claimed as usual.
    assert claim(setup.call, setup.job, setup.lock).returncode == 0


def test_a_workspace_in_use_is_not_taken(setup: Setup) -> None:
    with connected(setup.root / "jobs/other", setup.lock):
        done = setup.start()
        assert done.returncode == status.CHANGED
        assert dict(records(done))["changed"] == "claim"
        assert state(setup.call, setup.root / "jobs/other") == "preparing"
    assert not setup.job.exists()


def test_a_job_is_not_started_twice(setup: Setup) -> None:
    assert setup.start(f"echo x >>'{setup.top}/ran'").returncode == 0
    again = setup.start(f"echo x >>'{setup.top}/ran'")
    assert (again.returncode, dict(records(again))["changed"]) == (status.CHANGED, "claim")
    wait_for(lambda: state(setup.call, setup.job) == "ended")
    assert (setup.top / "ran").read_text() == "x\n"


def test_a_host_without_stat_describes_nothing(setup: Setup, tmp_path: Path) -> None:
    missing = setup.call("mlcr_describe_mirror", "1", "0", str(tmp_path / "none"))
    assert missing.returncode != 0
    assert missing.stdout == b""
