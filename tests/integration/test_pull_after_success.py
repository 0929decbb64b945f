# SPDX-License-Identifier: Apache-2.0
"""What succeeded on a host is pulled, and never run again because its pull failed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.command_line import again, on, run
from tests.support.cubes import FILE, shell_task, write_cube

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.hosts import HostFactory

TRAIN = shell_task(
    'echo x >>"${0#*=}/runs"; echo weights >"${1#*=}"',
    outputs={"log": {"default": "log/"}, "weights": {**FILE, "default": "w"}},
)


def test_a_failed_pull_is_not_a_reason_to_train_again(
    ssh_host: HostFactory, tmp_path: Path
) -> None:
    host = ssh_host("docker")
    cube = write_cube(tmp_path / "cube", {"train": TRAIN})
    in_the_way = cube / "workspace/w"
    in_the_way.mkdir()
    (in_the_way / "mine").touch()
    done = on(host, cube, "--task=train", "--output=json")
    document = json.loads(done.stdout)
    run_id, advice = document["run"], f"mlcube-remote pull {document['run']}"
    assert (done.returncode, document["jobs"][0]["tasks"][0]["status"]) == (121, "succeeded")
    assert advice in done.stderr.decode()
    assert "rerun" not in done.stderr.decode()

    done = again("rerun", run_id, "--failed")
    said = done.stderr.decode()
    assert (done.returncode, "only its outputs are missing here" in said) == (121, True), said
    assert advice in said

    (in_the_way / "mine").unlink()
    in_the_way.rmdir()
    done = again("pull", run_id)
    assert done.returncode == 0, done.stderr.decode()
    assert in_the_way.read_text() == "weights\n"
    assert (cube / "workspace/log/runs").read_text() == "x\n", "it ran once"
    done = again("rerun", run_id, "--failed")
    assert (done.returncode, done.stderr) == (0, b"no job to run again\n")


SHARED = shell_task(
    'd=${2#*=}; cat "${0#*=}" >/dev/null; echo new >"$d/made"; echo new >>"$d/old"; '
    'mkdir -p "$d/deep/er"; echo new >"$d/deep/er/file"',
    inputs={"data": {**FILE, "default": "input.bin"}, "old": {**FILE, "default": "old"}},
    outputs={"workspace": {"default": "./"}},
)


def test_an_output_that_is_the_workspace_brings_no_copy_of_the_inputs(
    ssh_host: HostFactory, inventory_of: Callable[..., Path], tmp_path: Path
) -> None:
    hosts = [ssh_host("docker"), ssh_host("dash")]
    cube = write_cube(tmp_path / "cube", {"train": SHARED})
    for name in ("input.bin", "old"):
        (cube / "workspace" / name).write_text("from here\n")
    # Twice: the second run finds on the hosts what the first has made.
    for _ in range(2):
        done = run(
            inventory_of(*hosts), cube, "--host=all_of_them", "--task=train", "--output=json"
        )
        assert done.returncode == 0, done.stderr.decode()
        for job in json.loads(done.stdout)["jobs"]:
            (output,) = job["outputs"]
            place = Path(output["path"])
            found = {str(p.relative_to(place)) for p in place.rglob("*") if p.is_file()}
            assert found == {"made", "old", "deep/er/file"}
            assert (output["state"], output["files"]) == ("updated", 3)
            assert (place / "old").read_text() == "from here\nnew\n"
