# SPDX-License-Identifier: Apache-2.0
"""What hosts still have of a run, compared with its record."""

from __future__ import annotations

import posixpath
from typing import Any

import attrs
import pytest

from mlcube_remote.errors import HostUnfitError, UnreachableError
from mlcube_remote.inventory.model import ConnectionKind, Host
from mlcube_remote.jobs.lookup import RecordedJob
from mlcube_remote.jobs.verify import verify_on_hosts
from mlcube_remote.remote import status
from mlcube_remote.runs.ids import slug
from mlcube_remote.runs.manifests import ListedFile, Manifests, digest_of
from mlcube_remote.transport.base import Reply
from mlcube_remote.transport.fake import FakeConnection
from tests.support.handles import TICKET

GPU = Host(name="gpu")
JOB = RecordedJob(run_id=TICKET.run_id, host=GPU, job_id=TICKET.job_id, handle=TICKET, job="07")
CUBE = f"{TICKET.root}/cubes/{slug('mnist', of='/here/cube')}"
MODEL = f"{TICKET.folders[0].remote}/model/a b"
TASK = TICKET.task_dir(1)
FILES = [ListedFile(b"a", 1, "a" * 64), ListedFile(b"sub/b", 1, "b" * 64)]
DIGEST = digest_of(FILES)


def record(**changes: Any) -> dict[str, Any]:
    output = {"task": "train", "name": "model", "sha256": DIGEST, "files": 2, "size": 2}
    provenance = {
        "cube": {"sha256": DIGEST, "size": 2},
        "inputs": [
            {"task": "train", "name": "data", "where": "host", "path": "/d", "size": 5}
            | {"sha256": None, "modified": 100}
        ],
        "image": {"name": "x:1", "id": "1" * 64, "sha256": None},
        "engine": {"command": ["docker"]},
        "tasks": [{"task": "train", "logs": {"stdout": {"size": 3, "sha256": "c" * 64}}}],
    }
    return {
        "cube": {"name": "mnist", "path": "/here/cube/mlcube.yaml"},
        "outputs": [{**output, "state": "made"}],
        "provenance": provenance | changes.pop("provenance", {}),
        **changes,
    }


@attrs.define
class OneHost:
    """A host with files: path → digest."""

    files: dict[str, str]
    stat: str = "5 100 /d"
    image: str = "1" * 64
    asked: list[str] = attrs.field(factory=list)
    """Directories whose files were read."""

    def connect(self, host: Host) -> FakeConnection:
        connection = FakeConnection(host.name)
        connection.answer("mlcr_report_stat", Reply(0, f"stat={self.stat}\0".encode(), b""))
        connection.answer("mlcr_print_checksums", self._checksums)
        connection.answer(
            "mlcr_print_image_platform",
            Reply(0, f"linux/amd64 sha256:{self.image} []\n20\n".encode(), b""),
        )
        return connection

    def _checksums(self, folder: str, *names: str) -> Reply:
        self.asked.append(folder)
        if not any(path.startswith(f"{folder}/") for path in self.files):
            return Reply(1, b"", b"no such directory")
        paths = [posixpath.normpath(posixpath.join(folder, name)) for name in names]
        return Reply(0, "".join(self.files.get(each, "") + "\0" for each in paths).encode(), b"")


@pytest.fixture
def host() -> OneHost:
    Manifests().write(DIGEST, FILES)
    files = {f"{TASK}/stdout": "c" * 64}
    for folder in (CUBE, MODEL):
        files |= {f"{folder}/a": "a" * 64, f"{folder}/sub/b": "b" * 64}
    return OneHost(files)


def problems(host: OneHost, **changes: Any) -> list[tuple[str, str, str]]:
    (answer,) = verify_on_hosts([JOB], {"07": record(**changes)}, host.connect)
    assert answer.error is None
    return [
        (item.verdict.value, item.what, item.path)
        for item in answer.findings
        if item.verdict.value != "same"
    ]


def test_what_is_as_recorded_is_the_same(host: OneHost) -> None:
    (answer,) = verify_on_hosts([JOB], {"07": record()}, host.connect)
    assert len(answer.findings) == 7
    assert problems(host) == []


def test_changed_and_missing_files_are_named(host: OneHost) -> None:
    host.files[f"{CUBE}/sub/b"] = "0" * 64
    host.files[f"{TASK}/stdout"] = "0" * 64
    del host.files[f"{MODEL}/a"]
    host.stat, host.image = "6 100 /d", "2" * 64
    assert problems(host) == [
        ("changed", "gpu: input train.data", "/d"),
        ("changed", "gpu: cube", f"{CUBE}/sub/b"),
        ("missing", "gpu: 07: output train.model", f"{MODEL}/a"),
        ("changed", "gpu: log of train", f"{TASK}/stdout"),
        ("changed", "gpu: image", "x:1"),
    ]


def test_what_was_removed_from_the_host_is_no_problem(host: OneHost) -> None:
    host.files, host.stat = {}, ""
    assert {verdict for verdict, _, _ in problems(host)} == {"no longer there"}


def test_older_files_of_an_updated_output_may_be_here_only(host: OneHost) -> None:
    del host.files[f"{MODEL}/a"]
    assert problems(host, outputs=[{**record()["outputs"][0], "state": "updated"}]) == []


def test_a_directory_whose_files_are_not_known_is_not_compared(
    host: OneHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Manifests, "read", lambda *_: None)
    found = problems(host)
    assert [(verdict, path) for verdict, _, path in found] == [
        ("not compared", CUBE),
        ("not compared", MODEL),
    ]


def test_a_sif_file_is_read_again(host: OneHost) -> None:
    host.files["/images/x.sif"] = "d" * 64
    host.stat = "9 100 /images/x.sif"
    image = {"name": "/images/x.sif", "id": None, "sha256": "e" * 64}
    found = problems(host, provenance={"image": image, "inputs": []})
    assert found == [("changed", "gpu: image", "/images/x.sif")]


def test_a_record_of_an_older_version_has_outputs_only(host: OneHost) -> None:
    (answer,) = verify_on_hosts([JOB], {"07": {**record(), "provenance": None}}, host.connect)
    assert [item.path for item in answer.findings] == [f"{MODEL}/a", f"{MODEL}/sub/b"]


def test_what_the_jobs_of_a_sweep_share_is_read_once(host: OneHost) -> None:
    handle = attrs.evolve(TICKET, job_id=f"{TICKET.job_id}-8")
    jobs = [JOB, attrs.evolve(JOB, job="08", job_id=handle.job_id, handle=handle)]
    (answer,) = verify_on_hosts(jobs, {"07": record(), "08": record()}, host.connect)
    assert host.asked.count(CUBE) == 1
    assert handle.task_dir(1) in host.asked
    images = [item for item in answer.findings if item.what == "gpu: image"]
    assert [item.verdict.value for item in images] == ["same"]


def test_a_host_that_gives_no_answer_has_an_error(host: OneHost) -> None:
    def refuse(_: Host) -> FakeConnection:
        raise UnreachableError("gpu", "refused")

    (answer,) = verify_on_hosts([JOB], {"07": record()}, refuse)
    assert isinstance(answer.error, UnreachableError)


def test_a_host_without_a_program_for_digests_is_unfit(host: OneHost) -> None:
    def connect(of: Host) -> FakeConnection:
        connection = FakeConnection(of.name)
        connection.answer("mlcr_report_stat", Reply(0, b"", b""))
        connection.answer("mlcr_print_checksums", Reply(status.NO_PROGRAM, b"", b""))
        return connection

    (answer,) = verify_on_hosts([JOB], {"07": record()}, connect)
    assert isinstance(answer.error, HostUnfitError)


def test_this_machine_and_jobs_without_a_record_are_left_out(host: OneHost) -> None:
    local = attrs.evolve(JOB, host=attrs.evolve(GPU, connection=ConnectionKind.LOCAL))
    jobs = [local, attrs.evolve(JOB, handle=None), attrs.evolve(JOB, job="08")]
    assert verify_on_hosts(jobs, {"07": record()}, host.connect) == ()
