# SPDX-License-Identifier: Apache-2.0
"""A job whose image comes from another host: what is asked, sent and refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from mlcube_remote.dispatch.pipeline import run_job
from mlcube_remote.dispatch.saved_images import staging_name
from mlcube_remote.errors import ConfigureError, HostUnfitError
from mlcube_remote.events.outcome import JobOutcome
from mlcube_remote.inventory.model import Host
from mlcube_remote.runs.store import Store
from mlcube_remote.transport.base import Reply
from tests.support.fake_host import FakeHost
from tests.support.fake_host_state import HostConnection
from tests.support.fake_runs import SCRIPTS, Client, client, jobs_of, write_cube

SOURCE = Host(name="builder", remote_root="/r")
STAGING = "mlcr_open_staging"


@attrs.frozen
class Pair:
    """The source of the image, the host of the job, and the client."""

    source: FakeHost
    host: FakeHost
    work: Client

    def do(self) -> JobOutcome:
        try:
            return self.work.do()
        finally:
            self.work.run.images.close()


@pytest.fixture
def pair(tmp_path: Path, host: FakeHost) -> Pair:
    source = FakeHost(name=SOURCE.name, scripts=dict(SCRIPTS))
    (job,) = jobs_of(write_cube(tmp_path), "train", image_sources={"gpu01": SOURCE})

    def connect(where: Host, note: Callable[[str], None]) -> HostConnection:
        return (source if where.name == SOURCE.name else host).connect(where, note)

    work = client(job, host, Store(tmp_path / "runs"), {"connect": connect})
    return Pair(source, host, work)


def test_a_host_that_has_the_image_gets_nothing(pair: Pair) -> None:
    assert pair.do().error is None
    assert pair.work.details()["configure"] == "image present, the same as on builder"
    assert STAGING not in pair.host.functions()
    assert "mlcr_save_image" not in str(pair.source.calls)
    assert any(note.startswith("the image comes from builder;") for note in pair.work.notes())


def test_an_image_of_another_architecture_is_refused_before_it_is_sent(pair: Pair) -> None:
    pair.source.architecture = "arm64"
    pair.source.facts["machine"] = "aarch64"
    pair.host.has_image = False
    error = pair.do().error
    assert isinstance(error, HostUnfitError)
    assert "is for arm64, the host is amd64" in str(error)
    assert STAGING not in pair.host.functions()
    assert "mlcr_save_image" not in str(pair.source.calls)


def test_without_an_image_at_the_source_no_host_runs(pair: Pair) -> None:
    pair.source.has_image = False
    pair.source.build = Reply(1, b"", b"no such host\n")
    error = pair.do().error
    assert isinstance(error, ConfigureError)
    assert str(error).startswith("gpu01: no image from builder: docker.image: pull of image ")
    again = run_job(pair.work.job, pair.work.run)
    assert str(again.error) == str(error)
    assert pair.source.functions().count("mlcr_probe_host") == 1, "the source is asked once"


def test_no_two_transfers_use_one_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [staging_name("0" * 64, host) for host in ("gpu01", "gpu02")]
    monkeypatch.setenv("XDG_STATE_HOME", "/elsewhere")
    names.append(staging_name("0" * 64, "gpu01"))
    assert len(set(names)) == 3
    assert staging_name("0" * 64, "gpu01") == names[2], "a later run continues"
