# SPDX-License-Identifier: Apache-2.0
"""The results of a sweep of 40 jobs on Docker and Apptainer. One job of it fails."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from mlcube_remote.runs.attempts import SCHEMA
from mlcube_remote.runs.store import Store
from tests.support.checkers import validate_crate
from tests.support.command_line import again, command
from tests.support.cubes import FILE, shell_task, write_cube
from tests.support.sweeps import Pool

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory

TRAIN = shell_task(
    'n=$(sed -n "s/n: //p" "${0#*=}"); c=${1#*=}; m=${2#*=}; d=${3#*=}; '
    'echo "trial $n"; [ "$n" != 7 ] || { echo "no good" >&2; exit 3; }; '
    'for i in 1 2 3; do echo "{\\"step\\": $i, \\"loss\\": $((n * i))}"; done >"$c"; '
    'echo "{\\"test\\": {\\"accuracy\\": 0.$((n + 50))}}" >"$m"; mkdir "$d/layers"; '
    'echo "$n" >"$d/layers/1"',
    inputs={"settings": {**FILE, "default": "settings.yaml"}},
    outputs={
        "curve": {**FILE, "default": "curve.jsonl"},
        "metrics": {**FILE, "default": "metrics.json"},
        "model": {"default": "model/"},
    },
)
QUICKLY = "-Papptainer.build_args=--mksquashfs-args='-noD -noI -noF'"
"""Nothing is compressed, which takes most of the time of a build."""


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    cube = write_cube(tmp_path / "cube", {"train": TRAIN})
    (cube / "workspace/settings.yaml").write_text("n: 0\n")
    return cube


def say(name: str, *arguments: str, code: int = 0) -> str:
    """Run a command on an earlier run and return what it prints."""
    done = again(name, *arguments)
    assert done.returncode == code, (name, arguments, done.stdout, done.stderr.decode())
    return done.stdout.decode()


def test_a_sweep_of_40_is_shown_verified_repeated_and_exported(
    ssh_host: HostFactory, pool: Pool, cube: Path, tmp_path: Path
) -> None:
    hosts = (ssh_host("docker"), ssh_host("apptainer"))
    sweep = f"--sweep=n={','.join(map(str, range(1, 41)))}"
    argv = command(pool(*hosts), cube, "--host=all_of_them", "--task=train", sweep, QUICKLY)
    live = tmp_path / "live.html"
    done = subprocess.run([*argv, f"--report={live}"], capture_output=True, check=False)
    assert done.returncode == 1, done.stderr.decode()
    (folder,) = (cube / "results").iterdir()
    run_id = folder.name

    records = [json.loads(path.read_text()) for path in sorted((folder / "attempts").iterdir())]
    check_records(records)
    assert {record["platform"] for record in records} == {"docker", "apptainer"}

    rows = list(
        csv.DictReader(say("results", "show", run_id, "--csv", "--sort=-accur").split("\n"))
    )
    assert [row["n"] for row in rows] == [*map(str, (*range(40, 7, -1), *range(6, 0, -1))), "7"]
    assert "39 succeeded, 1 failed" in say("results", "list")
    say("verify", run_id, "--host")
    assert say("diff", run_id, run_id) == "no difference\n"

    # The host that is free takes each job, so an image may be a SIF file now.
    table = say("rerun", f"{run_id}/01,40", "--verify", "--allow-changed=image")
    assert table.count("identical") == 6
    assert "different" not in table
    say("verify", run_id)

    html = check_report(run_id, tmp_path / "report.html")
    assert 'http-equiv="refresh"' not in live.read_text()
    assert [text in html for text in ("trial 40", "SIF file", "image id")] == [True] * 3
    say("export", run_id, f"--ro-crate={tmp_path / 'crate'}")
    found = validate_crate(tmp_path / "crate", "process-run-crate")
    assert {severity for severity, _, _ in found} == {"RECOMMENDED"}

    forget_provenance(run_id)
    say("results", "show", run_id)
    say("verify", run_id)
    assert check_report(run_id, tmp_path / "old.html")
    assert "01: inputs: " not in say("diff", run_id, run_id)
    say("export", run_id, f"--ro-crate={tmp_path / 'old'}")
    warned = again("rerun", f"{run_id}/01", "--verify")
    assert b"only outputs are compared" in warned.stderr
    assert (warned.returncode, warned.stdout.count(b"identical")) == (0, 3), warned.stderr


def check_records(records: list[dict[str, Any]]) -> None:
    """Every job has a record by the schema; one failed, with its end of the log."""
    assert len(records) == 40
    schema = json.loads(SCHEMA.read_text())
    for record in records:
        jsonschema.validate(record, schema)
    (failed,) = (record for record in records if record["status"] != "succeeded")
    assert (failed["job"], failed["exit_code"]) == ("07", 3)
    assert all(output["state"] == "unchanged" for output in failed["outputs"])
    (task,) = failed["provenance"]["tasks"]
    assert task["exit_code"] == 3
    for record in records:
        image = record["provenance"]["image"]
        digest = image["sha256" if record["platform"] == "apptainer" else "id"]
        assert len(digest) == 64
        assert record["provenance"]["engine"]["version"]


def check_report(run_id: str, path: Path) -> str:
    """Write the report, which has a row for each job, and the failed one first."""
    say("report", run_id, f"--file={path}")
    html = path.read_text()
    body = html[html.index("<tbody>") : html.index("</tbody>")]
    assert body.count("<tr>") == 40
    assert body.index(">07<") < body.index(">01<")
    assert html.index("exit code 3") < html.index("<h2>Jobs</h2>")
    return html


def forget_provenance(run_id: str) -> None:
    """Make the records what versions wrote that had no provenance."""
    store = Store()
    for name in store.jobs(run_id):
        record = store.read(run_id, name) or {}
        store.write(run_id, name, {k: v for k, v in record.items() if k != "provenance"})
