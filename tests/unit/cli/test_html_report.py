# SPDX-License-Identifier: Apache-2.0
"""The commands about recorded runs, on records of an older version and of this one."""

from __future__ import annotations

import json
import stat
import time
from pathlib import Path

import pytest

from mlcube_remote.cli.main import execute
from mlcube_remote.runs.store import RUN, Store
from tests.support.reported_runs import RUN_ID, attempt


@pytest.fixture(params=["with provenance", "of an older version"])
def run_id(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    store = Store()
    jobs = [{"name": f"{number:03}", "host": None, "job": f"job{number}"} for number in range(3)]
    store.write(
        RUN_ID, RUN, {"jobs": jobs, "created": None, "client": "a@b", "cube": {"name": "c"}}
    )
    for number in range(3):
        record = attempt(number, tmp_path)
        if request.param == "of an older version":
            record.pop("provenance")
        store.write(RUN_ID, record["id"], record)
    return RUN_ID


def test_a_report_is_written_that_only_the_user_can_read(run_id: str, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    assert execute(["report", run_id, f"--file={path}"]) == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().count("<tr><td") >= 3


def test_a_place_that_cannot_be_written_is_reported(
    run_id: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["report", run_id, f"--file={tmp_path / 'none' / 'report.html'}"]) == 1
    assert "--file=PATH" in capsys.readouterr().err


def test_a_run_does_not_differ_from_itself(run_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["diff", run_id, run_id]) == 0
    assert capsys.readouterr().out == "no difference\n"


def test_outputs_that_are_gone_or_changed_fail_the_verification(
    run_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["verify", run_id, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["findings"]
    assert {each["verdict"] for each in found} == {"missing", "changed"}


def test_the_run_is_listed(run_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["results", "list", "--best=-accuracy"]) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == ["run", "when", "cube", "hosts", "state", "best", "accuracy"]
    assert row.split() == [run_id[-8:], "c", "gpu[01-03]", "succeeded", "0.9"]


def test_a_table_is_shown_again_until_it_is_interrupted(
    run_id: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    assert execute(["results", "show", run_id, "--watch", "--sort=-accuracy"]) == 0
    assert "succeeded" in capsys.readouterr().out
    assert execute(["results", "show", run_id, "--watch", "--csv"]) == 2
    assert "--watch and --output=csv" in capsys.readouterr().err
