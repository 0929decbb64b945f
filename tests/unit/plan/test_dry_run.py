# SPDX-License-Identifier: Apache-2.0
"""What a dry run shows, without a host."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from mlcube_remote.app.dry_run import dry_run
from mlcube_remote.errors import PlanError
from mlcube_remote.inventory.model import LOCAL_HOST
from tests.support.plans import CUBE, HOST, request


def test_a_dry_run_rejects_missing_local_data(root: Path) -> None:
    text = CUBE.replace("default: conf.yaml", "default: 'local:/no/where'")
    (root / "mlcube.yaml").write_text(text)
    with pytest.raises(PlanError) as caught:
        dry_run(request(root, "train"))
    missing = "train.config: input /no/where does not exist"
    assert str(caught.value) == f"{root}/mlcube.yaml:9:29: {missing}"
    assert caught.value.hint == "create it, or give another: config=PATH"
    run_request = attrs.evolve(request(root, "train"), configure_only=True)
    assert dry_run(run_request)[0], "an image needs no inputs"


def test_a_dry_run_has_an_entry_for_each_host_and_task(root: Path) -> None:
    hosts = (HOST, LOCAL_HOST)
    planned, notes = dry_run(request(root, "make", "train", hosts=hosts))
    assert [(item.host, item.task) for item in planned] == [
        ("h", "make"),
        ("h", "train"),
        ("local", "make"),
        ("local", "train"),
    ]
    assert notes["h"][0].startswith(f"sync {root} to /r/cubes/my_cube-")
    assert notes["h"][0].endswith(f"(at most 2 files, {len(CUBE) + 1} B)")
    assert notes["local"] == ()
    assert planned[2].creates == (f"{root}/workspace/data",)


def test_a_dry_run_reports_why_a_run_would_be_rejected(root: Path) -> None:
    (planned,), notes = dry_run(request(root, "train", config="gone.yaml"))
    assert planned.run
    missing = f"train.config: input {root}/workspace/gone.yaml does not exist"
    assert notes["h"][1:] == (f"would be refused: on the command line: {missing}",)


def test_a_dry_run_of_configure_runs_no_task(root: Path) -> None:
    (root / "mlcube.yaml").write_text(CUBE.replace("{type: file, default: conf.yaml}", "gone.yaml"))
    run_request = attrs.evolve(request(root, "train"), configure_only=True)
    (planned,), notes = dry_run(run_request)
    assert planned.task is None
    assert planned.configure == (("docker", "pull", "example/x"),)
    assert (planned.run, planned.creates, planned.launch) == ((), (), ())
    assert len(notes["h"]) == 1, "what is sent"
