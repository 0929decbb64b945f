# SPDX-License-Identifier: Apache-2.0
"""What engines print while they build or pull becomes steps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcube_remote.dispatch.build_steps import BuildSteps
from mlcube_remote.transport.base import Stream

Reports = list[tuple[str, float | None]]


def read(*parts: bytes) -> Reports:
    reports: Reports = []
    steps = BuildSteps(lambda *report: reports.append(report))
    for part in parts:
        steps.read(Stream.STDOUT, part)
    return reports


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        (b"Step 3/12 : RUN pip install x\n", ("step 3 of 12: RUN pip install x", 2 / 12)),
        (b"STEP 1/4: FROM busybox\n", ("step 1 of 4: FROM busybox", 0.0)),
        (b"[2/3] STEP 1/4: COPY a b\n", ("step 1 of 4 of stage 2/3: COPY a b", 0.0)),
        (b"#7 [3/5] RUN make\n", ("step 3 of 5: RUN make", 2 / 5)),
        (b"#12 [build 2/2] RUN make\r\n", ("step 2 of 2 of build: RUN make", 1 / 2)),
        (b"INFO:    Creating SIF file...\n", ("Creating SIF file...", None)),
    ],
)
def test_each_engine_has_its_steps(printed: bytes, expected: tuple[str, float | None]) -> None:
    assert read(b"Sending build context\n", printed, b" ---> 0123\n") == [expected]
    assert read(*(printed[index : index + 1] for index in range(len(printed)))) == [expected]


def test_a_pull_counts_layers() -> None:
    a, b, c = (digit * 12 for digit in "abc")
    lines = [f"{a}: Pulling fs layer", f"{b}: Pulling fs layer", f"{c}: Already exists"]
    lines += [f"{a}: Download complete", f"{b}: Pull complete", f"{a}: Pull complete"]
    reports = read("\n".join([*lines, ""]).encode())
    assert [text for text, _ in reports] == [
        *("layer 0 of 1", "layer 0 of 2", "layer 1 of 3", "layer 2 of 3", "layer 3 of 3")
    ]


@pytest.mark.parametrize(
    "printed",
    [
        b"Step 5/4 : RUN\n",
        b"Step 0/0 : x\n",
        b"#1 [internal] load .dockerignore\n",
        b"#7 DONE 0.1s\n",
    ],
)
def test_other_lines_are_no_steps(printed: bytes) -> None:
    assert read(printed) == []


@given(st.lists(st.binary(max_size=100), max_size=5))
def test_any_bytes_are_read(parts: list[bytes]) -> None:
    assert all(len(text) <= 200 for text, _ in read(*parts))


def test_an_endless_line_is_cut() -> None:
    ((text, _),) = read(b"Step 1/2 : ", *[b"x" * 100_000] * 50, b"\n")
    assert len(text) == 120
