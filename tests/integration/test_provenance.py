# SPDX-License-Identifier: Apache-2.0
"""What a real run records about the origin of its results."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema

from mlcube_remote.runs.attempts import SCHEMA, compile_attempts
from mlcube_remote.runs.store import Store
from tests.support.command_line import again, run
from tests.support.cubes import FILE, shell_task, write_cube

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory


def attempts_of_the_only_run() -> list[dict[str, Any]]:
    store = Store()
    (run_id,) = store.runs()
    return compile_attempts(run_id, store, print)


def test_a_run_records_what_its_results_come_from(
    ssh_host: HostFactory, inventory_of: Callable[..., Path], copy_cube: Path
) -> None:
    host = ssh_host("docker")
    git = ["git", "-C", str(copy_cube), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "mlcube.yaml"], ["commit", "-q", "-m", "cube"]):
        subprocess.run([*git, *words], check=True)
    done = run(
        inventory_of(host),
        copy_cube,
        f"--host={host.name}",
        "--task=copy",
        "--env=MY_TOKEN",
        MY_TOKEN="hunter2-hunter2",
    )
    assert done.returncode == 0, done.stderr
    (attempt,) = attempts_of_the_only_run()
    jsonschema.validate(attempt, json.loads(SCHEMA.read_text()))
    assert "hunter2" not in json.dumps(attempt)
    found = attempt["provenance"]
    assert found["secrets"] == ["MY_TOKEN"]
    assert found["engine"]["version"][0].isdigit()
    assert len(found["image"]["id"]) == 64
    assert found["host"]["memory"] > 0
    assert found["host"]["kernel"]
    assert "--task=copy" in found["client"]["command"]
    (task,) = found["tasks"]
    assert "MY_TOKEN" in task["argv"]
    assert task["logs"]["stdout"]["sha256"] == hashlib.sha256(b"hello\n").hexdigest()
    assert 0 <= task["finished_ms"] - task["started_ms"] < 60_000
    (text,) = found["inputs"]
    assert text["sha256"] == hashlib.sha256(b"hello\n").hexdigest()
    assert found["cube"]["git"]["dirty"] is True, "in.txt is sent, and not part of the commit"


MEASURE = shell_task(
    'i=${0#*=}; m=${1#*=}; o=${2#*=}; cat "$i" >"$o/same"; echo "{\\"n\\": $(date +%N)}" >"$m"',
    inputs={"text": {**FILE, "default": "in.txt"}},
    outputs={"metrics": {**FILE, "default": "m.json"}, "model": {"default": "model/"}},
)


def test_results_are_verified_repeated_and_compared(
    ssh_host: HostFactory, inventory_of: Callable[..., Path], tmp_path: Path
) -> None:
    hosts = (ssh_host("docker"), ssh_host("dash"))
    cube = write_cube(tmp_path / "cube", {"measure": MEASURE})
    (cube / "workspace/in.txt").write_text("hello\n")
    done = run(inventory_of(*hosts), cube, "--host=all_of_them", "--task=measure")
    assert done.returncode == 0, done.stderr
    (folder,) = (cube / "results").iterdir()
    assert again("verify", folder.name).returncode == 0
    records = sorted((folder / "attempts").iterdir())
    assert len(records) == 2

    there = again("verify", folder.name, "--host")
    assert there.returncode == 0, there.stderr
    assert re.fullmatch(rb"\d+ same\n", there.stdout)
    store = Store()
    tickets = [(store.read(folder.name, job) or {})["ticket"] for job in store.jobs(folder.name)]
    (ticket,) = (each for each in tickets if each["host"] == hosts[1].name)
    log = f"{ticket['root']}/jobs/{ticket['job_id']}/tasks/1/stdout"
    hosts[1].exec(["sh", "-c", 'printf x >>"$0"', log])
    there = again("verify", folder.name, f"--host={hosts[1].name}")
    assert there.returncode == 1
    assert f"changed: {hosts[1].name}: log of measure: {log}" in there.stdout.decode()
    assert hosts[0].name.encode() not in there.stdout

    damaged = folder / hosts[0].name / "model/same"
    damaged.write_text("hellO\n")
    found = again("verify", str(folder))
    assert found.returncode == 1
    assert f"changed: {hosts[0].name}: output measure.model: {damaged}" in found.stdout.decode()

    repeated = again("rerun", folder.name, "--verify")
    assert repeated.returncode == 1, "the time is another one"
    table = repeated.stdout.decode()
    for host in hosts:
        assert re.search(rf"{host.name} +measure\.model +identical", table)
    assert "different  n " in table
    assert set(records) < set((folder / "attempts").iterdir()), "no record was replaced"
    assert again("verify", folder.name).returncode == 0

    elsewhere = again(
        "rerun", f"{folder.name}/{hosts[0].name}", "--verify", f"--on={hosts[1].name}"
    )
    assert elsewhere.returncode == 1, elsewhere.stderr
    table = elsewhere.stdout.decode()
    assert re.search(rf"{hosts[1].name} +measure\.model +identical", table)
    assert hosts[0].name not in table
    assert f"run {folder.name}" not in elsewhere.stderr.decode(), "it is a new run"

    (cube / "workspace/in.txt").write_text("bye\n")
    records = sorted((folder / "attempts").iterdir())
    refused = again("rerun", folder.name, "--verify")
    assert refused.returncode == 2
    message = refused.stderr.decode()
    assert (
        f"nothing was started:\n         input measure.text: {cube}/workspace/in.txt: " in message
    )
    assert "--allow-changed=input" in message
    assert sorted((folder / "attempts").iterdir()) == records
    one = f"{folder.name}/{hosts[1].name}"
    allowed = again("rerun", one, "--verify", "--allow-changed=input")
    assert allowed.returncode == 1, allowed.stderr
    assert b"different" in allowed.stdout
    assert b"not as recorded: input measure.text" in allowed.stderr
    assert run(inventory_of(*hosts), cube, "--host=all_of_them", "--task=measure").returncode == 0
    runs = sorted(path.name for path in (cube / "results").iterdir())
    compared = again("diff", *runs)
    assert compared.returncode == 1
    lines = compared.stdout.decode()
    assert f"{hosts[0].name}: inputs: measure.text: " in lines
    assert "outputs: measure.model: " in lines
    assert "image: " not in lines
