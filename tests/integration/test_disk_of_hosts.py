# SPDX-License-Identifier: Apache-2.0
"""A real host: what runs leave there is shown, kept while it is needed, and removed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.command_line import again, mirror, on
from tests.support.cubes import FILE, shell_task, write_cube
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost

DAY = 86_400


def ask(host: SshHost, *words: str) -> Any:
    """Run a command for the host, and return its document."""
    options = [f"--inventory={host.inventory}", f"--host={host.name}", "--output=json"]
    done = subprocess.run(
        [sys.executable, "-m", "mlcube_remote", *words, *options],
        capture_output=True,
        check=True,
        timeout=120,
    )
    (answer,) = json.loads(done.stdout)["hosts"]
    return answer


def clean(host: SshHost, *words: str) -> dict[str, list[str]]:
    answer = ask(host, "clean", "--cubes", "--older-than=30d", *words)
    return {
        "removed": [item["kind"] for item in answer["removed"]],
        "kept": [item["why"] for item in answer["kept"]],
    }


def test_a_mirror_is_removed_once_no_job_needs_it(ssh_host: HostFactory, tmp_path: Path) -> None:
    host = ssh_host("docker", private=True)
    task = shell_task(
        'cat "${0#*=}" >"${1#*=}"; until [ -e "${1#*=}.go" ]; do sleep 0.2; done',
        inputs={"data": {**FILE, "default": "in.txt"}},
        outputs={"made": {**FILE, "default": "out/made.txt"}},
    )
    cube = write_cube(tmp_path / "cube", {"make": task})
    data = tmp_path / "data.txt"
    data.write_text("x" * 100_000)
    started = on(host, cube, "--task=make", f"data=local:{data}", "--detach")
    assert started.returncode == 0, started.stderr
    root = host.home / ".mlcube-remote"
    stamps = [path for path in (root / "used").rglob("*") if path.is_file()]
    assert {path.parent.name for path in stamps} == {"cubes", "data", "images"}

    def forget_last_use() -> None:
        then = time.time() - 40 * DAY
        for path in stamps:
            os.utime(path, (then, then))

    forget_last_use()
    assert clean(host) == {"removed": [], "kept": ["a job uses it"] * 2}
    items = {item["kind"]: item for item in ask(host, "hosts", "disk")["items"]}
    assert items["cube"]["in_use"]
    assert items["data"]["name"] == str(data)
    assert items["data"]["size"] >= 100_000
    output = mirror(host) / "workspace" / "out"
    wait_for((output / "made.txt").exists)
    (output / "made.txt.go").touch()
    wait_for(lambda: not ask(host, "ps")["jobs"])
    why = "it may have outputs that no client has pulled"
    assert clean(host) == {"removed": [], "kept": [why] * 2}
    pulled = subprocess.run([sys.executable, "-m", "mlcube_remote", "pull"], check=False)
    assert pulled.returncode == 0
    assert sorted(clean(host, "--dry-run")["removed"]) == ["cube", "data"]
    assert mirror(host).is_dir()
    assert sorted(clean(host)["removed"]) == ["cube", "data"]
    assert list((root / "cubes").iterdir()) == list((root / "data").iterdir()) == []
    again = on(host, cube, "--task=make", f"data=local:{data}", "--detach")
    assert again.returncode == 0, "the next run sends everything again"
    (mirror(host) / "workspace" / "out").mkdir(exist_ok=True)
    (mirror(host) / "workspace" / "out" / "made.txt.go").touch()


def test_a_job_stays_until_its_outputs_are_pulled(ssh_host: HostFactory, tmp_path: Path) -> None:
    host = ssh_host("docker", private=True)
    task = shell_task('echo made >"${0#*=}"', outputs={"made": {**FILE, "default": "made.txt"}})
    cube = write_cube(tmp_path / "cube", {"make": task})
    started = on(host, cube, "--task=make", "--detach")
    assert started.returncode == 0, started.stderr

    def clean_jobs() -> dict[str, list[str]]:
        answer = ask(host, "clean", "--older-than=1s")
        return {key: [job["state"] for job in answer[key]] for key in ("jobs", "kept_jobs")}

    wait_for(lambda: clean_jobs() == {"jobs": [], "kept_jobs": ["succeeded"]})
    pulled = again("pull")
    assert pulled.returncode == 0, pulled.stderr
    assert (cube / "workspace" / "made.txt").read_text() == "made\n"
    assert clean_jobs() == {"jobs": ["succeeded"], "kept_jobs": []}
    assert again("pull").returncode == 2, "the record is deleted with the last job"
