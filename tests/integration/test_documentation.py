# SPDX-License-Identifier: Apache-2.0
"""What the documentation tells people to type works, and its links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mlcube_remote.events.outcome import Status
from tests.support import reference
from tests.support.tracked import copy_tracked

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])

_TESTED = re.compile(r"<!-- tested -->\n```sh\n(.*?)```", re.DOTALL)
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


_SANDBOX = """
mlcube-remote sandbox up --hosts 1
export MLCUBE_REMOTE_INVENTORY="$XDG_STATE_HOME/mlcube-remote/sandbox/hosts.yaml"
"""


def type_in(page: str, folder: Path, before: str = "", **variables: str) -> tuple[Path, str]:
    """Type what a page tells to type in a clone of the examples; return that and the output."""
    commands = _TESTED.findall((ROOT / page).read_text())
    assert len(commands) >= 5
    clone = folder / "clone"
    copy_tracked(ROOT / "examples", clone / "examples")
    environment = {
        **os.environ,
        "XDG_STATE_HOME": str(folder / "state"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        **variables,
    }
    try:
        done = subprocess.run(
            ["sh", "-c", "\n".join(["set -e", before, *commands])],
            cwd=clone,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        subprocess.run(
            ["mlcube-remote", "sandbox", "down"], env=environment, check=True, capture_output=True
        )
    return clone, done.stdout


def test_the_tutorial_can_be_typed_from_top_to_bottom(tmp_path: Path) -> None:
    clone, _ = type_in("docs/tutorial/first-run.md", tmp_path)
    chat = (clone / "examples/hello_world/workspace/chats/chat_with_alice.txt").read_text()
    assert "Hello" in chat
    assert len(list((clone / "examples/hello_world/results").glob("*/sandbox[12]"))) == 2


def test_a_long_run_can_be_left_alone_as_described(tmp_path: Path) -> None:
    clone, told = type_in("docs/how-to/long-runs.md", tmp_path, before=_SANDBOX)
    assert told.count("Hello, Alice!") == 2, "once by logs, once by attach"
    assert (clone / "examples/hello_world/workspace/chats/chat_with_alice.txt").exists()


def test_mlcubes_own_command_can_be_used_as_described(tmp_path: Path) -> None:
    mlcube = reference.program()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}:{mlcube.parent}"
    clone, told = type_in(
        "docs/how-to/mlcube-cli.md",
        tmp_path,
        before=_SANDBOX,
        PATH=path,
        PYTHONPATH=reference.python_path(),
        MLCUBE_SYSTEM_SETTINGS=str(tmp_path / "mlcube.yaml"),
    )
    assert "runner: remote" in told
    assert told.count("Hello, Alice!") == 3, "the file, and two runs"
    chat = (clone / "examples/hello_world/workspace/chats/chat_with_alice.txt").read_text()
    assert "Alice" not in chat.splitlines()[-1], "the last run greeted somebody else"


def test_the_python_api_works_as_described(tmp_path: Path) -> None:
    (script,) = re.findall(
        r"<!-- tested -->\n```python\n(.*?)```", (ROOT / "docs/api.md").read_text(), re.DOTALL
    )
    clone = tmp_path / "clone"
    copy_tracked(ROOT / "examples", clone / "examples")
    state = tmp_path / "state"
    environment = {
        **os.environ,
        "XDG_STATE_HOME": str(state),
        "MLCUBE_REMOTE_INVENTORY": str(state / "mlcube-remote/sandbox/hosts.yaml"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    sandbox = ["mlcube-remote", "sandbox"]
    try:
        subprocess.run([*sandbox, "up", "--hosts", "1"], env=environment, check=True, timeout=120)
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", script],
            cwd=clone,
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        subprocess.run([*sandbox, "down"], env=environment, check=True, capture_output=True)
    lines = done.stdout.splitlines()
    assert lines[0] == "hello_world has hello, bye"
    assert "sandbox1 hello succeeded 0" in lines
    assert lines[-2].startswith("1 of 2 jobs did not succeed: nowhere.invalid: ")
    assert lines[-1].endswith("--failed")


def test_the_states_of_a_job_are_those_that_hosts_tell() -> None:
    page = (ROOT / "docs/durability.md").read_text()
    diagram = page[page.index("```mermaid") : page.index("```\n\nA host")]
    states = {*re.findall(r"(\w+) -->", diagram), *re.findall(r"--> (\w+)", diagram)}
    shell = (ROOT / "mlcube_remote/remote/job_state.sh").read_text()
    functions = shell[shell.index("mlcr_print_job_state()") :]
    assert states | {"elsewhere"} == set(re.findall(r"echo (\w+)", functions))


def test_the_ends_of_a_job_are_those_that_are_shown() -> None:
    page = (ROOT / "docs/durability.md").read_text()
    table = page[page.index("| shown |") : page.index("What a failed")]
    assert re.findall(r"^\| `([\w-]+)`", table, re.MULTILINE) == [each.value for each in Status]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_that_exist(page: Path) -> None:
    links = [link for link in _LINK.findall(page.read_text()) if "://" not in link]
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing
