# SPDX-License-Identifier: Apache-2.0
"""Which directories a task gets as copies, and where it mounts them."""

from __future__ import annotations

import pytest

from mlcube_remote.commands.mounts import Mount
from mlcube_remote.commands.scratch import ScratchCopies, ScratchTarget, merge_copies, on_scratch

TARGET = ScratchTarget(link="/r/jobs/j/slurm/scratch", own="/r")


def mount(source: str, opts: str | None = None, *, is_parent: bool = False) -> Mount:
    return Mount(source=source, target="/mlcube_io0", opts=opts, is_parent=is_parent)


@pytest.mark.parametrize(
    ("mounts", "sources", "expected"),
    [
        (
            [mount("/r/ws/a"), mount("/r/ws")],
            ["/r/ws/a", "/r/ws"],
            ScratchCopies(
                copied=("/r/ws",),
                mounted=(("/r/ws", "/r/ws/a"), ("/r/ws", "/r/ws")),
                written=("/r/ws",),
            ),
        ),
        (
            [mount("/data", "ro"), mount("/data/out/")],
            ["/data", "/data/out"],
            ScratchCopies(
                copied=("/data",),
                mounted=(("/data", "/data"), ("/data", "/data/out")),
                written=("/data/out",),
            ),
        ),
        (
            [mount("/r/../r//ws"), mount("/rest")],
            ["/r/ws", "/rest"],
            ScratchCopies(
                copied=("/r/ws", "/rest"),
                mounted=(("/r/ws", "/r/ws"), ("/rest", "/rest")),
                written=("/r/ws", "/rest"),
            ),
        ),
    ],
)
def test_a_directory_in_another_one_is_copied_with_it(
    mounts: list[Mount], sources: list[str], expected: ScratchCopies
) -> None:
    moved, copies = on_scratch(mounts, TARGET)
    assert [each.source for each in moved] == [f"{TARGET.link}{source}" for source in sources]
    assert copies == expected


def test_the_directory_of_a_file_elsewhere_is_not_copied() -> None:
    mounts = [mount("/home/ada", is_parent=True), mount("/r/ws", is_parent=True)]
    moved, copies = on_scratch(mounts, TARGET)
    assert [each.source for each in moved] == ["/home/ada", f"{TARGET.link}/r/ws"]
    assert copies.copied == ("/r/ws",)


def test_without_scratch_nothing_is_copied() -> None:
    mounts = (mount("/r/ws"),)
    assert on_scratch(mounts, None) == (mounts, ScratchCopies())


def test_what_one_of_several_commands_needs_is_copied() -> None:
    _, as_file = on_scratch([mount("/r/ws/made", "ro")], TARGET)
    _, as_directory = on_scratch([mount("/r/ws/made/x")], TARGET)
    assert merge_copies([as_file, as_directory]) == ScratchCopies(
        copied=("/r/ws/made",),
        mounted=(("/r/ws/made", "/r/ws/made"), ("/r/ws/made", "/r/ws/made/x")),
        written=("/r/ws/made/x",),
    )
