# SPDX-License-Identifier: Apache-2.0
"""Runs and earlier runs below the command line, on hosts that refuse connections."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from mlcube_remote import app
from mlcube_remote.app.options import (
    Credentials,
    CubeOptions,
    HostOptions,
    RunOptions,
    StartOptions,
    SweepOptions,
    TaskOptions,
)
from mlcube_remote.errors import MLCubeRemoteError, UsageError
from mlcube_remote.events import Event, JobFinished
from mlcube_remote.events.outcome import JobOutcome, Status
from mlcube_remote.runs.expected_sources import ExpectedSources, Source
from mlcube_remote.runs.store import RUN, Store
from mlcube_remote.scheduling.fanout import OnInterrupt
from mlcube_remote.secret import Secret


@attrs.define
class Observed:
    """An observer that keeps what it gets."""

    calls: list[str] = attrs.field(factory=list)
    events: list[Event] = attrs.field(factory=list)
    outcomes: Sequence[JobOutcome] = ()
    warnings: list[str] = attrs.field(factory=list)

    @contextlib.contextmanager
    def observe(self, _run_id: str, jobs: Sequence[str]) -> Iterator[Observed]:
        self.calls.append(f"open {','.join(jobs)}")
        yield self
        self.calls.append("close")

    def handle(self, event: Event) -> None:
        self.events.append(event)

    def decide(self) -> OnInterrupt:
        return OnInterrupt.STOP

    def finish(self, outcomes: Sequence[JobOutcome], seconds: float) -> None:
        assert seconds >= 0
        self.calls.append("finish")
        self.outcomes = outcomes

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def credentials(self) -> Credentials:
        self.calls.append("credentials")
        return Credentials(password=Secret("hunter2"))


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunOptions:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlcube.yaml").write_text(
        "name: x\ndocker: {image: x}\ntasks: {t: {parameters: {outputs: {n: made/}}}}\n"
    )
    (tmp_path / "workspace").mkdir()
    (tmp_path / "hosts.yaml").write_text(
        "hosts: {a: {address: 127.0.0.1, port: 1}, b: {address: 127.0.0.1, port: 1}}\n"
    )
    return RunOptions(hosts=HostOptions(names=("a,b",)), tasks=TaskOptions(names=("t",)))


def run(
    options: RunOptions, observed: Observed, *, expected: ExpectedSources | None = None
) -> app.observer.RunReport:
    ask, observe, warn = observed.credentials, observed.observe, observed.warnings.append
    return app.run.run(options, ask, observe, warn, expected=expected)


def test_each_host_has_a_job_and_its_outcome_is_reported(options: RunOptions) -> None:
    observed = Observed()
    report = run(options, observed)
    assert observed.calls == ["credentials", "open a,b", "finish", "close"]
    assert [outcome.status for outcome in report.outcomes] == [Status.NOT_STARTED] * 2
    assert observed.outcomes == report.outcomes
    assert sum(isinstance(event, JobFinished) for event in observed.events) == 2
    assert Store().has(report.run_id, RUN)


def test_a_pool_has_a_job_for_each_point(options: RunOptions) -> None:
    sweep = SweepOptions(axes={"n": ("1", "2", "3")}, retries=0)
    report = run(attrs.evolve(options, sweep=sweep), observed := Observed())
    assert observed.calls == ["credentials", "open 01,02,03", "finish", "close"]
    assert [outcome.parameters["n"] for outcome in report.outcomes] == ["1", "2", "3"]


def test_configuring_leaves_no_record(options: RunOptions) -> None:
    report = run(attrs.evolve(options, configure_only=True), Observed())
    assert report.exit_code_of_errors == 120
    assert not Store().has(report.run_id, RUN)


@pytest.mark.parametrize(
    "mistake",
    [
        {"tasks": TaskOptions(names=("absent",))},
        {"tasks": TaskOptions(names=("t",), parameters={"absent": "x"})},
        {"cube": CubeOptions(path="absent")},
        {"hosts": HostOptions(names=("c",), inventory="hosts.yaml")},
        {"run_id": "mine"},
        {"start": StartOptions(detach=True, max_failures=1)},
        {"sweep": SweepOptions(axes={"n": ("1",)}, shard="n=1,2")},
    ],
    ids=lambda mistake: next(iter(mistake)),
)
def test_a_mistake_is_found_before_the_user_is_asked(
    options: RunOptions, mistake: dict[str, Any]
) -> None:
    observed = Observed()
    with pytest.raises(MLCubeRemoteError):
        run(attrs.evolve(options, **mistake), observed)
    assert observed.calls == []
    assert list(Store().runs()) == []


def test_a_missing_recipe_is_named_before_the_user_is_asked(options: RunOptions) -> None:
    cube = Path("mlcube.yaml")
    cube.write_text(
        cube.read_text().replace("image: x", "image: x, build_context: ., build_strategy: auto")
    )
    observed = Observed()

    def ask() -> Credentials:
        (warning,) = observed.warnings
        assert warning.endswith(
            ":2:20: docker.build_context: Dockerfile does not exist: the image is pulled, not built"
        )
        return Credentials()

    app.run.run(options, ask, observed.observe, observed.warnings.append)
    assert len(observed.warnings) == 1


def test_a_changed_cube_is_refused_before_the_user_is_asked(options: RunOptions) -> None:
    recorded = {"cube": {"sha256": "1" * 64}, "inputs": [], "image": {}}
    expected = ExpectedSources(recorded={"a": recorded})
    observed = Observed()
    with pytest.raises(UsageError, match="nothing was started:\n  cube: it was 111111111111, "):
        run(options, observed, expected=expected)
    assert observed.calls == []
    assert list(Store().runs()) == [], "no attempt is recorded"
    allowing = attrs.evolve(expected, allowed=frozenset({Source.CUBE}))
    assert run(options, observed, expected=allowing).exit_code_of_errors == 120
    assert observed.warnings == [
        "not recorded, so not compared: image",
        "no record of what the earlier outputs come from: only outputs are compared",
    ]


def test_an_earlier_run_is_followed_with_its_own_inventory(
    options: RunOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = run(options, Observed()).run_id
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    observed = Observed()
    found = app.follow.find_run(
        run_id[-6:], HostOptions(names=("b",)), observed.credentials, pytest.fail
    )
    report = app.follow.read_status(found, observed.observe, reconnect_timeout=0.0)
    assert observed.calls == ["credentials", "open b", "finish", "close"]
    assert [outcome.status for outcome in report.outcomes] == [Status.NOT_STARTED]


def test_a_module_of_app_is_imported_when_it_is_used() -> None:
    assert app.run is importlib.import_module("mlcube_remote.app.run")
    with pytest.raises(AttributeError, match="has no attribute 'absent'"):
        getattr(app, "absent")  # noqa: B009 - mypy knows that it is absent
