# SPDX-License-Identifier: Apache-2.0
"""The commands and the program that the documentation shows work on real hosts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support import reference
from tests.support.tracked import copy_tracked

ROOT = Path(__file__).parents[2]

_TESTED = re.compile(r"<!-- tested -->\n```sh\n(.*?)```", re.DOTALL)

_SANDBOX = """
mlcube-remote sandbox up --hosts 1
export MLCUBE_REMOTE_INVENTORY="$XDG_STATE_HOME/mlcube-remote/sandbox/hosts.yaml"
"""

_HOST_OF_THE_LOGIN = """
mlcube-remote sandbox up --hosts 1
hosts="$XDG_STATE_HOME/mlcube-remote/sandbox/hosts.yaml"
export MLCUBE_REMOTE_INVENTORY="$XDG_STATE_HOME/hosts.yaml"
sed 's/sandbox1:/gpu01:/; s/- sandbox1/- gpu01/' "$hosts" >"$MLCUBE_REMOTE_INVENTORY"
cd examples/mnist
mlcube-remote run --host=gpu01 --task=download
"""

_HOSTS_OF_THE_README = """
mlcube-remote sandbox up --hosts 3
hosts="$XDG_STATE_HOME/mlcube-remote/sandbox/hosts.yaml"
export MLCUBE_REMOTE_INVENTORY="$XDG_STATE_HOME/hosts.yaml"
sed 's/sandbox\\([1-3]\\):/gpu0\\1:/; s/- sandbox\\(.\\)/- gpu0\\1/; s/  sandbox:/  train:/' \
    "$hosts" >"$MLCUBE_REMOTE_INVENTORY"
"""


def run_commands(
    page: str, folder: Path, before: str = "", at_least: int = 4, **variables: str
) -> tuple[Path, str]:
    """Run a page's tested commands in a clone of the examples; return the clone and the output."""
    commands = _TESTED.findall((ROOT / page).read_text())
    assert len(commands) >= at_least
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


def test_the_commands_of_the_tutorial_work_from_top_to_bottom(tmp_path: Path) -> None:
    clone, _ = run_commands("docs/tutorial/first-run.md", tmp_path)
    chat = (clone / "examples/hello_world/workspace/chats/chat_with_alice.txt").read_text()
    assert "Hello" in chat
    assert len(list((clone / "examples/hello_world/results").glob("*/sandbox[12]"))) == 2


def test_the_commands_of_the_readme_work_on_hosts_with_its_names(tmp_path: Path) -> None:
    clone, output = run_commands("README.md", tmp_path, before=_HOSTS_OF_THE_README)
    mnist = clone / "examples/mnist"
    assert (mnist / "workspace/metrics/train.json").exists()
    several, sweep = sorted((mnist / "results").iterdir())
    assert sorted(path.name for path in several.glob("gpu*")) == ["gpu01", "gpu02"]
    assert len(list(sweep.glob("*/metrics/train.json"))) == 4
    assert output.count("360 to test on") == 1 + 1 + 2 + 4


def test_a_first_cube_runs_on_a_host(tmp_path: Path) -> None:
    clone, output = run_commands("docs/tutorial/first-cube.md", tmp_path)
    assert (clone / "greeter/workspace/greeting.txt").read_text() == "Hello, Grace!\n"
    assert output.count("Hello, Grace!") == 3, "twice by run, once by logs"
    assert "Hello, Grace!\nHow are you?" in output, "after the image was built again"
    assert (clone / "counter/workspace/results/numbers.txt").read_text() == "1\n2\n3\n"
    assert "greet --name=/mlcube_io0/name.txt --greeting=/mlcube_io0/greeting.txt" in output


def test_the_commands_for_long_runs_work(tmp_path: Path) -> None:
    clone, output = run_commands("docs/how-to/long-runs.md", tmp_path, before=_SANDBOX)
    assert output.count("Hello, Alice!") == 5, "by logs, by attach, and three times with times"
    assert re.search(r"^20\S+Z Hello, Alice!", output, re.MULTILINE)
    assert (clone / "examples/hello_world/workspace/chats/chat_with_alice.txt").exists()


def test_the_commands_for_a_login_work(tmp_path: Path) -> None:
    clone, output = run_commands("docs/how-to/login.md", tmp_path, _HOST_OF_THE_LOGIN, at_least=2)
    assert (clone / "examples/mnist/workspace/metrics/train.json").exists()
    assert "gpu01: logged in as mlcube@127.0.0.1" in output
    assert "logged in: gpu01" in output, "hosts list shows it"
    assert output.endswith("gpu01: logged out\n")


def test_the_commands_for_slurm_work(tmp_path: Path) -> None:
    clone, output = run_commands("docs/how-to/slurm.md", tmp_path)
    assert output.count("Hello, Alice!") == 4, "three runs, and a job of a sweep"
    assert output.count("Hello, Bob!") == 1
    assert len(list((clone / "examples/hello_world/results").glob("*/*/chats/*"))) == 2


def test_the_commands_for_one_image_on_all_hosts_work(tmp_path: Path) -> None:
    clone, output = run_commands("docs/how-to/ship-images.md", tmp_path)
    cube = clone / "examples/hello_world"
    assert "the image is sent from sandbox1, unless the host has it" in output
    assert output.count("Hello, Alice!") == 2
    attempts = [json.loads(path.read_text()) for path in cube.glob("results/*/attempts/*.json")]
    assert len(attempts) == 2 + 2
    ids = {attempt["provenance"]["image"]["id"] for attempt in attempts}
    assert len(ids) == 1, "every host ran the same image"
    assert None not in ids


def test_the_commands_for_mlcubes_own_command_work(tmp_path: Path) -> None:
    mlcube = reference.program()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}:{mlcube.parent}"
    clone, output = run_commands(
        "docs/how-to/mlcube-cli.md",
        tmp_path,
        before=_SANDBOX,
        PATH=path,
        PYTHONPATH=reference.python_path(),
        MLCUBE_SYSTEM_SETTINGS=str(tmp_path / "mlcube.yaml"),
    )
    assert "runner: remote" in output
    assert output.count("Hello, Alice!") == 3, "the file, and two runs"
    chat = (clone / "examples/hello_world/workspace/chats/chat_with_alice.txt").read_text()
    assert "Alice" not in chat.splitlines()[-1], "the last run greeted another person"


def test_the_python_api_works_as_described(tmp_path: Path) -> None:
    (script,) = re.findall(
        r"<!-- tested -->\n```python\n(.*?)```",
        (ROOT / "docs/reference/python-api.md").read_text(),
        re.DOTALL,
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
