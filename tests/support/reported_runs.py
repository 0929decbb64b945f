# SPDX-License-Identifier: Apache-2.0
"""Records of imagined runs, for the tests of the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RUN_ID = "261123-190233-k3j5h2g7x4q6w2ez"
HOSTILE = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202egpj.\x1b[31m"


def attempt(number: int, folder: Path, **changes: Any) -> dict[str, Any]:
    """Return the record of one job of a sweep, which failed if its number ends with 7."""
    failed = number % 10 == 7
    begin = 1_795_461_442_000 + number * 2000
    curve = folder / f"{number}.jsonl"
    lines = [{"step": step, "loss": 3 / (step + 1 + number)} for step in range(40)]
    curve.write_text("".join(json.dumps(line) + "\n" for line in lines))
    output = {"task": "train", "state": "made", "sha256": "0" * 64, "metrics": {}}
    rate = 10 ** -(1 + number % 5)
    return {
        "version": 1,
        "run": RUN_ID,
        "id": f"job{number}",
        "cube": {"name": "mnist", "path": "/x/mlcube.yaml"},
        "job": f"{number:03}",
        "host": f"gpu{number % 4 + 1:02}",
        "platform": "docker",
        "parameters": {"lr": f"{rate:g}", "optimizer": ("adam", "sgd")[number % 2]},
        "attempt": 1,
        "status": "failed" if failed else "succeeded",
        "exit_code": 3 if failed else 0,
        "error": None,
        "seconds": {"connect": 0.2, "sync": 1.0, "configure": 0.5, "run": 8.0, "pull": 0.3},
        "tasks": [
            {
                "task": "train",
                "reason": "out of memory" if failed else "",
                "status": "failed" if failed else "succeeded",
                "seconds": 8.0,
                "started": None,
            }
        ],
        "outputs": [
            {
                **output,
                "name": "metrics",
                "path": str(folder / "m.json"),
                "metrics": {"accuracy": 0.9 - 0.01 * (number % 9), "loss": rate, "images": 360},
            },
            {**output, "name": "curve", "path": str(curve)},
        ],
        "provenance": provenance(begin, failed=failed),
        **changes,
    }


def provenance(begin: int, *, failed: bool) -> dict[str, Any]:
    """Return the provenance of a job that began at this millisecond."""
    log = {"size": 12, "sha256": "0" * 64, "tail": "Killed\n" if failed else "epoch 1\nepoch 2\n"}
    return {
        "client": {
            "name": "ada@laptop",
            "version": "0.1.0",
            "python": "3.11",
            "time": begin / 1000 - 2,
            "command": ["mlcube-remote", "run", "--host=gpus", "--sweep", "lr=0.1,0.01"],
        },
        "host": {"time": begin // 1000 - 2, "kernel": "6.1", "cpu": "EPYC", "gpus": ["A100"]},
        "engine": {"command": ["docker"], "version": "20.10.24"},
        "image": {"name": "mnist:0.1", "id": "1" * 64, "digests": [], "sha256": None},
        "cube": {"sha256": "2" * 64, "git": {"commit": "3" * 40, "dirty": True}},
        "inputs": [
            {"task": "train", "name": "data", "path": "/data", "sha256": None, "where": "host"}
        ],
        "tasks": [
            {
                "task": "train",
                "started_ms": begin,
                "finished_ms": begin + 8000,
                "logs": {"stdout": log},
            }
        ],
    }


def index_of(attempts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the index of the results of a run with these jobs."""
    return {
        "version": 1,
        "run": RUN_ID,
        "created": "2026-11-23T19:02:33+00:00",
        "client": "ada@laptop",
        "cube": {"name": "mnist", "path": "/x/mlcube.yaml"},
        "jobs": [{**each, "started": None, "finished": None} for each in attempts],
    }
