# SPDX-License-Identifier: Apache-2.0
"""A run in MLflow, written and read with MLflow's own client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlcube_remote.cli.main import execute
from mlcube_remote.errors import UsageError
from mlcube_remote.ui.files.mlflow_runs import log_to_mlflow
from tests.support.reported_runs import RUN_ID, attempt, index_of

# MLflow warns about its own dependencies, and the warnings of these tests are errors.
PROGRAM = """
import attrs, json, sys
from mlcube_remote.errors import MLCubeRemoteError
from mlcube_remote.ui.files.mlflow_runs import log_to_mlflow
from mlflow import MlflowClient

attempts, index = json.load(sys.stdin)
uri = sys.argv[1]
first, second = (log_to_mlflow(attempts, index, uri) for _ in range(2))
client = MlflowClient(uri)
experiment = client.get_experiment_by_name("mnist").experiment_id
try:
    log_to_mlflow(attempts, index, "http://ada:hunter2@127.0.0.1:1")
    error = ""
except MLCubeRemoteError as problem:
    error = f"{problem} {problem.hint}"
json.dump({
    "logged": [attrs.asdict(first), attrs.asdict(second)],
    "error": error,
    "runs": [
        {
            "name": run.info.run_name, "status": run.info.status, "params": run.data.params,
            "metrics": run.data.metrics, "tags": run.data.tags,
            "times": [run.info.start_time, run.info.end_time],
        }
        for run in client.search_runs([experiment], order_by=["attributes.run_name"])
    ],
}, sys.stdout)
"""


def with_odd_names(folder: Path) -> list[dict[str, Any]]:
    attempts = [attempt(number, folder) for number in (6, 7)]
    attempts[0]["outputs"][0]["metrics"] |= {"f1 (macro)": 0.5, "f1 [macro]": 0.25}
    attempts[0]["provenance"]["tasks"][0]["finished_ms"] = 1_795_461_500_000
    return attempts


def test_each_job_is_logged_once_with_parameters_metrics_and_origin(tmp_path: Path) -> None:
    attempts = with_odd_names(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, (tmp_path / "store").as_uri()],
        input=json.dumps([attempts, index_of(attempts)]),
        env={
            **os.environ,
            "MLFLOW_ALLOW_FILE_STORE": "true",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        },
        capture_output=True,
        check=False,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [(each["new"], each["known"]) for each in found["logged"]] == [(2, 0), (0, 2)]
    assert "--mlflow: " in found["error"]
    assert "mlflow server" in found["error"]
    assert "hunter2" not in found["error"]
    good, bad = found["runs"]
    assert good["name"] == f"{RUN_ID}/006"
    assert (good["status"], bad["status"]) == ("FINISHED", "FAILED")
    assert good["params"] == {"lr": "0.01", "optimizer": "adam"}
    assert good["metrics"]["accuracy"] == pytest.approx(0.84)
    assert good["metrics"]["f1 _macro_"] == 0.5
    assert good["metrics"]["f1 _macro__2"] == 0.25
    tags = good["tags"]
    assert tags["mlflow.source.git.commit"] == "3" * 40
    assert tags["mlcube_remote.image"] == "1" * 64
    assert tags["mlcube_remote.host"] == "gpu03"
    started = attempts[0]["provenance"]["tasks"][0]["started_ms"]
    assert good["times"] == [started, 1_795_461_500_000]


def test_without_the_package_the_hint_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(UsageError) as caught:
        log_to_mlflow([], index_of([]), "http://127.0.0.1:1")
    assert caught.value.hint == "pip install 'mlcube-remote[mlflow]'"


def test_an_export_needs_a_format(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["export", "last"]) == 2
    assert "expected --ro-crate=DIRECTORY or --mlflow=URI" in capsys.readouterr().err
