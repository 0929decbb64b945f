# SPDX-License-Identifier: Apache-2.0
"""The readers stand what is kept of earlier fuzzing, and a little more; see ``make fuzz``."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.inputs import inputs
from tests.fuzz.targets import CORPUS, TARGETS, corpus, read

KEPT = [(name, file) for name in TARGETS for file in corpus(name)]


@pytest.mark.parametrize(("name", "file"), KEPT)
def test_a_kept_input_is_read_or_refused(name: str, file: str) -> None:
    read(name, corpus(name)[file])


@pytest.mark.parametrize("name", TARGETS)
def test_a_changed_input_is_read_or_refused(name: str) -> None:
    @settings(
        max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(inputs(name))
    def check(data: bytes) -> None:
        read(name, data)

    check()


@pytest.mark.parametrize(("name", "file"), KEPT)
@given(st.data())
@settings(max_examples=5, deadline=None, database=None)
def test_an_input_that_was_cut_is_read_or_refused(
    name: str, file: str, data: st.DataObject
) -> None:
    kept = corpus(name)[file]
    read(name, kept[: data.draw(st.integers(0, len(kept)))])


def test_each_reader_has_a_corpus_and_each_corpus_a_reader() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
