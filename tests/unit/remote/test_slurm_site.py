# SPDX-License-Identifier: Apache-2.0
"""What ``hosts check`` asks a cluster, and one of its nodes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mlcube_remote.remote import function_program
from tests.support.fake_slurm import FakeSlurm
from tests.support.shell_library import Call, facts, records


def test_a_cluster_is_reported(call: Call, slurm: FakeSlurm) -> None:
    sinfo = slurm.folder / "sinfo"
    assert records(call("mlcr_report_slurm", "/tmp")) == [("missing", "sinfo")]
    sinfo.write_text('#!/bin/sh\necho "main* up 1:00:00 2 (null)"\n')
    sinfo.chmod(0o755)
    told = dict(facts(call("mlcr_report_slurm", "/tmp")))
    assert told["partitions"] == "main* up 1:00:00 2 (null)"
    sinfo.write_text("#!/bin/sh\necho 'slurm_load_partitions: Unable to contact' >&2\nexit 1\n")
    told = dict(facts(call("mlcr_report_slurm", "/tmp")))
    assert told["problem"] == "slurm_load_partitions: Unable to contact"


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """Give a program that runs a command as on a compute node."""
    node = tmp_path / "node"
    node.write_text('#!/bin/sh\nexec "$@"\n')
    node.chmod(0o755)
    return node


@pytest.fixture
def trial(call: Call, node: Path, tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Try the node, with a place for copies."""
    engine = tmp_path / "engine"
    engine.write_text("#!/bin/sh\necho apptainer version 1.4.5\n")
    engine.chmod(0o755)
    script = function_program("mlcr_show_node")

    def report(place: str = "", engine: Path = engine, node: Path = node) -> dict[str, str]:
        words = (str(tmp_path), "60", str(engine), place, script, "sh", str(node))
        told = dict(records(call("mlcr_try_compute_node", *words)))
        assert not list(tmp_path.glob("node-trial*"))
        return told

    return report


def test_a_compute_node_is_tried(
    trial: Callable[..., dict[str, str]], node: Path, tmp_path: Path
) -> None:
    tried = trial()
    assert tried.pop("node")
    assert tried == {"sees": "yes", "writes": "yes", "engine": "apptainer version 1.4.5"}
    assert "not found" in trial(engine=tmp_path / "none")["engine"]
    # The setup of the tasks may print something.
    node.write_text('#!/bin/sh\necho module loaded; printf "node 1: ready"; exec "$@"\n')
    assert trial()["engine"] == "apptainer version 1.4.5"
    # A machine that does not have the directory.
    node.write_text('#!/bin/sh\nmv "$5" "$5.away"; "$@"; mv "$5.away" "$5"\n')
    apart = trial()
    assert (apart["sees"], apart["writes"]) == ("no", "no")
    assert list(trial(node=tmp_path / "absent")) == ["problem"]


@pytest.mark.parametrize(
    ("place", "answer"),
    [
        ("$NODE_DISK/x y", "yes {disk}/x y"),
        ("/dev/null/x", "/dev/null"),
        ("$NO_SUCH_DISK", "scratch: $NO_SUCH_DISK is not set on "),
        ("some/where", "scratch: expected an absolute path, got some/where"),
    ],
)
def test_the_disk_of_a_compute_node_is_tried(
    trial: Callable[..., dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    place: str,
    answer: str,
) -> None:
    disk = tmp_path / "disk"
    monkeypatch.setenv("NODE_DISK", str(disk))
    assert answer.format(disk=disk) in trial(place)["scratch"]
    assert not list(disk.glob("*/*"))


def test_a_compute_node_without_rsync_makes_no_copies(
    trial: Callable[..., dict[str, str]], node: Path, tmp_path: Path
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("sh", "uname", "sed"):
        (programs / name).symlink_to(shutil.which(name) or "")
    node.write_text(f'#!/bin/sh\nPATH={programs} exec "$@"\n')
    assert "rsync, which copies the files, was not found on" in trial("/tmp")["scratch"]
