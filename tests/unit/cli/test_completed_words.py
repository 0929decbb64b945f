# SPDX-License-Identifier: Apache-2.0
"""Completions: which words are offered for a half-typed command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlcube_remote.runs.store import RUN, Store


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("mlcube-remote run --host lo", "local"),
        ("mlcube-remote run --host local,gp", "local,gpu1"),
        ("mlcube-remote run --host all,!gp", "all,!gpu1"),
        ("mlcube-remote run --host = gp", "gpu1"),
        ("mlcube-remote run --mlcube = . --host = local,gp", "local,gpu1"),
        ("mlcube-remote run --mlcube = . --task =", "one"),
        ("mlcube-remote hosts check gp", "gpu1"),
        ("mlcube-remote hosts check --platform pod", "podman"),
        ("mlcube-remote attach 261123-1", "261123-191722-cnc5kgw4xkneu7ml"),
        ("mlcube-remote run --task on", "one"),
        ("mlcube-remote ru", "run"),
        ("mlcube-remote attach la", "last"),
        ("mlcube-remote run --task two o", ""),
        ("mlcube-remote run --task one o", "o="),
        ("mlcube-remote run --allow-missing x,", "x,a"),
        ("mlcube-remote rerun last --host gp", "gpu1"),
        ("mlcube-remote rerun last --gone gp", "gpu1"),
        ("mlcube-remote exec last/g", "last/gpu1"),
        ("mlcube-remote hosts forget gp", "gpu1"),
        ("mlcube-remote results show las", "last"),
    ],
)
def test_hosts_and_tasks_are_completed(cube: Path, words: str, expected: str) -> None:
    (cube / "hosts.yaml").write_text("hosts: {gpu1: {}}")
    store = Store(cube / "state/mlcube-remote/runs")
    run_id = "261123-191722-cnc5kgw4xkneu7ml"
    store.write(run_id, RUN, {"jobs": [{"name": "gpu1", "host": "gpu1", "job": "j"}]})
    store.write(run_id, "j", {"host": "gpu1", "status": "succeeded", "ticket": {}})
    found = completed(words, cube)
    assert f"plain,{expected}" in found if expected else not any(found)


@pytest.mark.parametrize("option", ["--mlcube", "--inventory", "--workspace", "--sweep-file"])
def test_paths_are_completed_as_files(cube: Path, option: str) -> None:
    assert completed(f"mlcube-remote run {option} a", cube) == ["file,a"]


def completed(words: str, folder: Path) -> list[str]:
    environment = {
        **os.environ,
        "XDG_STATE_HOME": str(folder / "state"),
        "_MLCUBE_REMOTE_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    script = "from mlcube_remote.cli.main import cli; cli(prog_name='mlcube-remote')"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        cwd=folder,
    )
    assert not done.stderr
    return done.stdout.splitlines()
