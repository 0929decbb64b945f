# SPDX-License-Identifier: Apache-2.0
"""Tasks of one command that feed each other, on a real host and on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlcube_remote.sandbox.engine import BASE_IMAGE
from tests.support.command_line import on, run
from tests.support.cubes import FILE, shell_task, write_cube
from tests.support.hosts import HostFactory

SHOW = 'at="${0#*=}"; [ ! -d "$at" ] || at="$at/inner"; echo "$0"; cat "$at"'


def cube(root: Path, script: str) -> Path:
    how = {**FILE, "default": "how.txt"}
    make = shell_task(script, inputs={"how": how}, outputs={"data": "data/"})
    show = shell_task(SHOW, inputs={"made": "data/made"}, outputs={"log": "log/"})
    write_cube(root, {"make": make, "show": show})
    (root / "workspace/how.txt").write_text("how: 1\n")
    return root


def as_file(root: Path) -> Path:
    return cube(root, 'cat "${0#*=}" >"${1#*=}/made"')


def as_directory(root: Path) -> Path:
    return cube(root, 'mkdir "${1#*=}/made"; cat "${0#*=}" >"${1#*=}/made/inner"')


def test_the_type_is_decided_when_the_task_begins(ssh_host: HostFactory, tmp_path: Path) -> None:
    host = ssh_host()
    done = on(host, as_file(tmp_path / "file"), "--task=make,show")
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"--made=/mlcube_io0/made\nhow: 1\n"
    done = on(host, as_directory(tmp_path / "directory"), "--task=make,show")
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"--made=/mlcube_io0\nhow: 1\n"


def test_the_type_is_decided_on_apptainer_too(ssh_host: HostFactory, tmp_path: Path) -> None:
    root = as_directory(tmp_path / "cube")
    definition = f"Bootstrap: docker\nFrom: {BASE_IMAGE}\n"
    (root / "Singularity.recipe").write_text(definition)
    done = on(ssh_host("apptainer"), root, "--task=make,show", "--platform=apptainer")
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"--made=/mlcube_io0\nhow: 1\n"


def test_one_task_alone_later(ssh_host: HostFactory, tmp_path: Path) -> None:
    host, root = ssh_host(), as_directory(tmp_path / "cube")
    assert on(host, root, "--task=make,show").returncode == 0
    done = on(host, root, "--task=show")
    assert done.stdout == b"--made=/mlcube_io0\nhow: 1\n", done.stderr


@pytest.mark.parametrize("script", ["true", 'ln -sf nowhere "${1#*=}/made"'])
def test_an_input_that_nothing_made(ssh_host: HostFactory, tmp_path: Path, script: str) -> None:
    host = ssh_host()
    root = cube(tmp_path / "cube", script)
    done = on(host, root, "--task=make,show", "--output=json")
    assert done.returncode == 1
    (job,) = json.loads(done.stdout)["jobs"]
    assert [task["status"] for task in job["tasks"]] == ["succeeded", "failed"]
    reason = job["tasks"][1]["reason"]
    assert reason.startswith("input made: ")
    assert reason.endswith("/data/made does not exist, and no earlier task has made it")
    allowed = on(host, root, "--task=make,show", "--allow-missing=made")
    assert b"--made=/mlcube_io0/made\n" in allowed.stdout, "the container starts"


def test_each_job_of_a_sweep(ssh_host: HostFactory, tmp_path: Path) -> None:
    root = as_file(tmp_path / "cube")
    (root / "workspace/how.yaml").write_text("how: 1\n")
    options = ("--task=make,show", "how=how.yaml", "--sweep=how.how=1,2", "--output=json")
    done = on(ssh_host(), root, *options)
    assert done.returncode == 0, done.stderr
    made = sorted(root.glob("results/*/*/data/made"))
    assert [path.read_text() for path in made] == ["how: 1\n", "how: 2\n"]


def test_files_of_the_user_in_an_earlier_output(ssh_host: HostFactory, tmp_path: Path) -> None:
    make = shell_task('echo made >"${0#*=}/made"', outputs={"data": "data/"})
    use = shell_task(
        'cat "${1#*=}" "${0#*=}/made" "${0#*=}/labels.csv"',
        inputs={"data": "data/", "labels": "data/labels.csv"},
    )
    root = write_cube(tmp_path / "cube", {"make": make, "use": use})
    (root / "workspace/data").mkdir()
    (root / "workspace/data/labels.csv").write_text("mine\n")
    (root / "workspace/settings.yaml").write_text("how: 1\n")
    host = ssh_host()
    done = on(host, root, "--task=make,use")
    assert (done.returncode, done.stdout) == (0, b"mine\nmade\nmine\n"), done.stderr
    use["parameters"]["inputs"]["settings"] = "settings.yaml"
    write_cube(root, {"make": make, "use": use})
    done = on(host, root, "--task=make,use", "--sweep=settings.how=1,2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b"mine") == 4


def test_on_this_machine(tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.yaml"
    inventory.write_text("hosts: {here: {connection: local}}\n")
    root = as_directory(tmp_path / "cube")
    done = run(inventory, root, "--host=here", "--task=make,show")
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"--made=/mlcube_io0\nhow: 1\n"


def test_a_missing_input_directory_is_created(ssh_host: HostFactory, tmp_path: Path) -> None:
    host = ssh_host()
    task = shell_task('ls -A "${0#*=}" | wc -l', inputs={"data": "data/"})
    root = write_cube(tmp_path / "cube", {"count": task})
    there = f"{host.home}/new/data"
    for place in ("data=data/", f"data={there}/"):
        done = on(host, root, "--task=count", place)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == b"0"
        assert b"does not exist; the task gets an empty directory" in done.stderr
    assert host.exec(["test", "-d", there]).exit_code == 0
    (tmp_path / "here").mkdir()
    done = on(host, root, "--task=count", f"data={tmp_path}/here/")
    assert done.returncode == 2, "the data would stay away"
    assert f"hint: it is on this machine, so: data=local:{tmp_path}/here".encode() in done.stderr
