# SPDX-License-Identifier: Apache-2.0
"""Whatever links a task makes in its workspace, nothing outside of it is created or used."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mlcube_remote.remote import library

LEADS_OUT = 20

NAMES = ("a", "b", "c")
STEPS = (*NAMES, "..", ".", "", "new")


def spelled(parts: tuple[str, ...], most: int) -> list[str]:
    return [
        "/".join(each) for n in range(1, most + 1) for each in itertools.product(parts, repeat=n)
    ]


placed = st.sampled_from(spelled(NAMES, 3))
"""Where an entry of the workspace is."""
leads = st.one_of(
    st.just(None),
    st.sampled_from(spelled((*NAMES, ".."), 4)),
    st.sampled_from(
        ["TOP/out", "TOP/out/file", "TOP/out/new", "/", "TOP/x/a", "TOP/xx", "TOP/x/a/b"]
    ),
)
"""What an entry is: a directory, or a link to this."""
places = st.tuples(st.dictionaries(placed, leads, max_size=6), st.sampled_from(spelled(STEPS, 4)))


@contextmanager
def workspaces(cases: list[tuple[dict[str, str | None], str]]) -> Iterator[list[tuple[Path, str]]]:
    """Make a workspace for each case; yield each directory around it, and the path to use."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    top = Path(tempfile.mkdtemp(prefix="mlcube-remote-test-", dir=memory))
    try:
        yield [
            (fill(top / str(number), entries), path) for number, (entries, path) in enumerate(cases)
        ]
    finally:
        shutil.rmtree(top)


def fill(top: Path, entries: dict[str, str | None]) -> Path:
    for name in ("x", "out", "xx"):
        (top / name).mkdir(parents=True)
    (top / "out/file").write_text("theirs")
    for name, target in entries.items():
        path = top / "x" / name
        try:
            path.parent.resolve(strict=True).relative_to(top / "x")
        except (OSError, RuntimeError, ValueError):
            continue  # in a link that leads out, or in nothing
        try:
            path.mkdir() if target is None else path.symlink_to(target.replace("TOP", str(top)))
        except OSError:
            continue  # something else is in the way
    return top


def outside(top: Path) -> list[str]:
    paths = sorted(str(path) for path in top.rglob("*"))
    return [path for path in paths if not path.startswith(f"{top}/x/")]


@settings(
    max_examples=20,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(st.lists(places, min_size=100, max_size=100))
def test_no_chain_of_links_leads_out(cases: list[tuple[dict[str, str | None], str]]) -> None:
    """2,000 cases, many for each shell. What the kernel says is compared with what is allowed."""
    script = """
        while IFS= read -r area && IFS= read -r path; do
            mlcr_confine "$area" "$path" 2>/dev/null
            confined=$?
            mlcr_check_inside "$area" "$path" 2>/dev/null
            echo "$confined $?"
        done
    """
    with workspaces(cases) as made:
        words = "".join(f"{top}/x\n{top}/x/{path}\n" for top, path in made)
        before = [outside(top) for top, _ in made]
        was_there = [os.path.isdir(f"{top}/x/{path}") for top, path in made]
        done = subprocess.run(
            ["sh", "-c", library() + script],
            input=words.encode(),
            capture_output=True,
            check=True,
        )
        answers = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
        assert len(answers) == len(made)
        assert [outside(top) for top, _ in made] == before
        for (top, path), (confined, inside), there in zip(made, answers, was_there, strict=True):
            real = Path(os.path.realpath(f"{top}/x/{path}"))
            is_inside = real == top / "x" or top / "x" in real.parents
            if confined == 0:
                assert is_inside, path
                assert real.is_dir(), path
            if there:
                assert (confined == 0) is is_inside, path
            if os.path.lexists(f"{top}/x/{path}"):
                assert (inside == 0) is is_inside or not real.exists(), path
