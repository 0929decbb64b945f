# SPDX-License-Identifier: Apache-2.0
"""A job is started in one call if nothing has changed, and goes through each stage otherwise."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from mlcube_remote.directories import state_home
from mlcube_remote.dispatch import unchanged
from mlcube_remote.events.outcome import Status
from mlcube_remote.inventory.model import Host
from mlcube_remote.transport.base import Reply
from mlcube_remote.transport.fake import RSYNC
from tests.support.fake_host import FakeHost
from tests.support.fake_runs import TRAINS, Client, MakeClient
from tests.support.waiting import wait_for

ONE_CALL = "mlcr_start_unchanged"
PROBE, CLAIM, LAUNCH = "mlcr_probe_host", "mlcr_claim_job", "mlcr_launch_and_describe"
STAGES = (ONE_CALL, PROBE, CLAIM, RSYNC, LAUNCH)


@pytest.fixture
def host(host: FakeHost, tmp_path: Path) -> FakeHost:
    host.facts["compares"] = "yes"
    host.answers_ends = True
    host.mirrored = tmp_path / "cube"
    return host


@attrs.define
class Runs:
    """Runs of one cube, one after the other."""

    host: FakeHost
    make_client: MakeClient
    cube: Path
    count: int = 0

    def make(self, *tasks: str, **more: Any) -> Client:
        """Make the client of the next run, when the files of the cube are not new any more."""
        self.count += 1
        client = self.make_client(*tasks, run_id=f"run{self.count}", **more)
        wait_for(lambda: all(map(_is_old, self.cube.rglob("*"))))
        del self.host.calls[:]
        return client

    def run(
        self, *tasks: str, change: Callable[[], object] = lambda: None, **more: Any
    ) -> list[str]:
        """Run the cube with success, and return the calls before its task."""
        client = self.make(*tasks, **more)
        change()
        outcome = client.do()
        assert (outcome.status, outcome.error) == (Status.SUCCEEDED, None)
        assert (client.workspace / "model/weights").read_bytes() == b"123"
        assert client.output() == TRAINS.stdout
        return [name for name in self.host.functions() if name in STAGES]


def _is_old(path: Path) -> bool:
    return path.stat().st_ctime_ns + 50_000_000 < time.time_ns()


@pytest.fixture
def runs(host: FakeHost, make_client: MakeClient, tmp_path: Path) -> Runs:
    runs = Runs(host, make_client, tmp_path / "cube")
    assert runs.run("train") == [PROBE, CLAIM, RSYNC, LAUNCH]
    return runs


def edit(path: Path) -> None:
    """Change a file, but not its size and time of modification."""
    about = path.stat()
    path.write_text("lr: 2\n")
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def test_an_unchanged_run_makes_one_call_again_and_again(runs: Runs) -> None:
    for _ in range(3):
        assert runs.run("train") == [ONE_CALL]
    assert len(runs.host.jobs) == 4


def test_its_record_and_its_stages_are_those_of_every_run(runs: Runs) -> None:
    client = runs.make("train")
    outcome = client.do()
    assert outcome.status is Status.SUCCEEDED
    assert client.stages() == ["connect", "sync", "configure", "run train", "pull"]
    details = client.details()
    assert (details["sync"], details["configure"]) == ("nothing new", "image present")
    record = client.record()
    assert record["ticket"]["run_id"] == "run2"


@pytest.mark.parametrize(
    "change",
    [
        lambda cube: edit(cube / "workspace/conf.yaml"),
        lambda cube: (cube / "more.txt").touch(),
        lambda cube: (cube / "a directory").mkdir(),
        lambda cube: (cube / ".mlcubeignore").write_text("*.txt\n"),
        lambda cube: (cube / "workspace/conf.yaml").chmod(0o755),
        lambda cube: (cube / "link").symlink_to("mlcube.yaml"),
    ],
    ids=["same size and time", "a file", "a directory", "a rule", "a mode", "a link"],
)
def test_a_change_here_is_sent(runs: Runs, change: Callable[[Path], object]) -> None:
    calls = runs.run("train", change=lambda: change(runs.cube))
    assert calls[:3] == [PROBE, CLAIM, RSYNC]


@pytest.mark.parametrize(
    "change",
    [
        lambda cube: edit(cube / "workspace/conf.yaml"),
        lambda cube: (cube / "more.txt").touch(),
        lambda cube: (cube / "workspace/more.txt").write_text("more"),
        lambda cube: (cube / "mlcube.yaml").replace(cube / "other.yaml"),
    ],
    ids=["same size and time", "a file", "a file beside an output", "another name"],
)
def test_a_change_during_the_login_is_sent(
    runs: Runs, change: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cube is looked at before the host is connected to."""

    def do_at_once(work: Callable[[], object], _name: str) -> Callable[[], object]:
        result = work()
        return lambda: result

    def log_in(host: FakeHost, *more: Any) -> Any:
        change(runs.cube)
        return connect(host, *more)

    connect = FakeHost.connect
    monkeypatch.setattr(unchanged, "begin", do_at_once)
    client = runs.make("train")
    monkeypatch.setattr(FakeHost, "connect", log_in)
    client = attrs.evolve(client, run=attrs.evolve(client.run, connect=runs.host.connect))
    assert client.do().status is Status.SUCCEEDED
    assert ONE_CALL not in runs.host.functions()


@pytest.mark.parametrize("what", ["host", "image", "mirror", "restored home"])
def test_a_change_there_costs_no_further_probe(runs: Runs, what: str) -> None:
    if what == "host":
        runs.host.facts["root_id"] = "another"
    elif what == "restored home":
        runs.host.facts["home"] = "/srv/ada"
    elif what == "image":
        runs.host.architecture = "amd64 sha256:2"
    else:
        runs.host.unlike = b"a line more\n"
    assert runs.run("train")[:3] == [ONE_CALL, CLAIM, RSYNC]


def test_another_inventory_entry_is_another_host(runs: Runs) -> None:
    entry = Host(name="gpu01", remote_root="/r", address="10.0.0.7")
    assert runs.run("train", host=entry) == [PROBE, CLAIM, RSYNC, LAUNCH]
    assert runs.run("train", host=entry) == [ONE_CALL]
    assert runs.run("train") == [ONE_CALL]


@pytest.mark.parametrize("after", [True, False], ids=["after", "before"])
def test_a_connection_that_breaks_starts_the_job_once(runs: Runs, *, after: bool) -> None:
    client = runs.make("train")
    runs.host.cut(ONE_CALL, after=after)
    outcome = client.do()
    assert (outcome.status, outcome.error) == (Status.SUCCEEDED, None)
    assert len(runs.host.jobs) == 2
    launches = [name for name in runs.host.functions() if name in {ONE_CALL, LAUNCH}]
    assert launches == ([ONE_CALL] if after else [LAUNCH])
    assert client.output() == TRAINS.stdout


def test_an_unexpected_answer_leaves_the_state_unknown(runs: Runs) -> None:
    client = runs.make("train")
    runs.host.answer(ONE_CALL, Reply(2, b"", b"sh: syntax error"))
    outcome = client.do()
    assert outcome.error is not None
    assert "syntax error" in str(outcome.error)
    assert "mlcube-remote attach run2" in str(outcome.error.hint)


def test_the_fast_path_can_be_switched_off(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLCUBE_REMOTE_FAST", "0")
    client = runs.make("train")
    assert client.do().status is Status.SUCCEEDED
    assert ONE_CALL not in runs.host.functions()


@pytest.mark.parametrize("text", ["", "{", '{"format": 1}', '{"format": 99}', "[]"])
def test_a_damaged_memory_counts_as_none(runs: Runs, text: str) -> None:
    (document,) = (state_home() / "mirrors").glob("*.json")
    assert document.stat().st_mode & 0o077 == 0
    document.write_text(text)
    assert runs.run("train") == [PROBE, CLAIM, RSYNC, LAUNCH]
    assert runs.run("train") == [ONE_CALL]
