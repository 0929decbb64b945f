# SPDX-License-Identifier: Apache-2.0
"""What was sent is compared with what is here and with its mirror, and no change is missed."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlcube_remote.files import sent_names, sent_state
from mlcube_remote.files.sent_state import SentState, check_mirror, read_sent_state
from mlcube_remote.files.upload import UploadTree
from mlcube_remote.remote import library
from mlcube_remote.transport.quoting import render_call
from tests.support.waiting import wait_for


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    cube = tmp_path / "cube"
    (cube / "workspace/data").mkdir(parents=True)
    (cube / "mlcube.yaml").write_text("name: c\n")
    (cube / "workspace/data/in put").write_text("one\n")
    return cube


def read(cube: Path, *outputs: str) -> SentState | None:
    mirror = cube.parent / "mirror"
    tree = UploadTree(local=cube, remote=str(mirror), mirror=True)
    return read_sent_state([tree], str(mirror / "workspace"), [str(mirror / at) for at in outputs])


def sent(cube: Path) -> SentState:
    """Send the cube with rsync, and return its state as it was before."""
    state = read(cube)
    assert state is not None
    argv = [
        "rsync",
        "-rlptH",
        "--modify-window=-1",
        "--delete",
        f"{cube}/",
        str(cube.parent / "mirror"),
    ]
    subprocess.run(argv, check=True)
    return state


def described(state: SentState) -> str:
    script = library().encode() + render_call("mlcr_describe_mirror", state.words)
    done = subprocess.run(["sh", "-s"], input=script, capture_output=True, check=True)
    return done.stdout.decode()


def test_a_mirror_is_equal_to_what_was_sent(cube: Path) -> None:
    state = sent(cube)
    text = described(state)
    assert check_mirror(state, text) is not None
    assert check_mirror(state, text) == check_mirror(state, described(state))


@pytest.mark.parametrize(
    "change",
    [
        lambda mirror: (mirror / "workspace/data/in put").write_text("two\n"),
        lambda mirror: (mirror / "mlcube.yaml").write_text("name: d\n"),
        lambda mirror: (mirror / "mlcube.yaml").chmod(0o755),
        lambda mirror: (mirror / "more").touch(),
    ],
    ids=["an input", "the recipe", "a mode", "a file more"],
)
def test_a_mirror_that_differs_is_not_accepted(
    cube: Path, change: Callable[[Path], object]
) -> None:
    state = sent(cube)
    change(cube.parent / "mirror")
    assert check_mirror(state, described(state)) is None


@pytest.mark.parametrize("text", ["", "\n", "81a4\n" * 4, "x y z\n" * 4, "\0" * 9])
def test_nonsense_of_a_host_is_not_accepted(cube: Path, text: str) -> None:
    assert check_mirror(sent(cube), text) is None


def test_a_file_system_that_counts_seconds_is_not_trusted(cube: Path) -> None:
    for path in (*cube.rglob("*"), cube):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    state = sent(cube)
    lines = [line.split(" ") for line in described(state).splitlines()]
    for words in lines:
        if len(words) > 9:
            words[9] = words[9].partition(".")[0] + ".000000000"
    assert check_mirror(state, "".join(" ".join(words) + "\n" for words in lines)) is None


def test_outputs_here_are_no_change(cube: Path) -> None:
    before = read(cube, "workspace/out/sub/file")
    (cube / "workspace/out/sub").mkdir(parents=True)
    after = read(cube, "workspace/out/sub/file")
    assert before is not None
    assert after is not None
    assert after.digest == before.digest


def test_a_file_that_has_just_changed_is_not_settled(cube: Path) -> None:
    path = cube / "mlcube.yaml"
    wait_for(lambda: path.stat().st_ctime_ns + 50_000_000 < time.time_ns())
    state = read(cube)
    assert state is not None
    assert state.is_settled
    path.write_text("name: d\n")
    again = read(cube)
    assert again is not None
    assert again.digest != state.digest


def test_a_clock_that_was_set_back_makes_nothing_settled(
    cube: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = time.time_ns() - 10**12
    monkeypatch.setattr(time, "time_ns", lambda: earlier)
    assert read(cube) is None


@pytest.mark.parametrize(
    "make",
    [
        lambda cube: (cube / "link").symlink_to("mlcube.yaml"),
        lambda cube: (cube / "a\nb").touch(),
        lambda cube: (cube / "a\udcffb").touch(),
        lambda cube: [(cube / str(number)).touch() for number in range(sent_state.MAX_ENTRIES)],
        lambda cube: os.mkfifo(cube / "pipe"),
    ],
    ids=["a link", "a line break", "no text", "too many", "a pipe"],
)
def test_what_cannot_be_compared_has_no_state(cube: Path, make: Callable[[Path], object]) -> None:
    make(cube)
    assert read(cube) is None


def test_outputs_of_earlier_runs_do_not_count(cube: Path) -> None:
    for number in range(sent_names.MAX_NAMES + 1):
        (cube / f"results/run/host{number}").mkdir(parents=True)
    assert read(cube) is None
    tree = UploadTree(local=cube, remote="/mirror", rules=("- /results/",))
    state = read_sent_state([tree], "/mirror/workspace")
    assert state is not None
    assert not any("results" in word for word in state.words)
