# SPDX-License-Identifier: Apache-2.0
"""All commands report how long the tasks took, by the host's clock."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command_line import again, on
from tests.support.cubes import shell_task, write_cube

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory


def jobs_of(text: bytes) -> list[dict[str, Any]]:
    return list(json.loads(text)["jobs"])


@pytest.mark.parametrize("option", ["--detach", "--sweep=o=a/,b/"])
def test_all_commands_report_how_long_the_tasks_took(
    ssh_host: HostFactory, tmp_path: Path, option: str
) -> None:
    task = shell_task("sleep 1.3; echo >${0#*=}/made", outputs={"o": {"default": "o/"}})
    cube = write_cube(tmp_path / "cube", {"train": task})
    done = on(ssh_host("docker"), cube, "--task=train", "--output=json", option)
    assert done.returncode == 0, done.stderr.decode()
    run_id = json.loads(done.stdout)["run"]
    deadline = time.monotonic() + 60
    while json.loads(again("status", run_id, "--output=json").stdout)["status"] == "running":
        assert time.monotonic() < deadline
        time.sleep(1)

    for job in jobs_of(again("status", run_id, "--output=json").stdout):
        (task_,) = job["tasks"]
        assert 1.3 <= task_["seconds"] < 30
        assert task_["seconds"] != round(task_["seconds"]), "the clock has milliseconds"
        assert job["seconds"] == {"run": task_["seconds"]}, "and not those of the login"
    table = again("status", run_id).stderr.decode()
    assert " elapsed" in table
    assert "connect" not in table

    for job in jobs_of(again("attach", run_id, "--output=json").stdout):
        assert job["seconds"]["run"] >= 1.3
    for job in json.loads(again("results", "show", run_id, "--json").stdout)["jobs"]:
        assert job["seconds"]["run"] >= 1.3
        assert (job["job"] is None) == (option == "--detach")
        assert isinstance(job["started"], int)
