# SPDX-License-Identifier: Apache-2.0
"""Suggestions for misspelled words."""

from __future__ import annotations

import pytest

from mlcube_remote.suggestions import ALMOST_EQUAL, did_you_mean, nearest

WORDS = ["port", "user", "jump"]


@pytest.mark.parametrize(
    ("word", "expected"), [("prot", "port"), ("usr", "user"), ("zzz", None), ("", None)]
)
def test_the_nearest_word_is_found(word: str, expected: str | None) -> None:
    assert nearest(word, WORDS) == expected


def test_an_abbreviation_means_the_whole_name() -> None:
    names = ["config.learning_rate", "learning_rate", "batch", "x", "_"]
    assert nearest("lr", names) == "learning_rate"
    assert nearest("lr", ["lt", *names], ALMOST_EQUAL) == "learning_rate"
    assert nearest("b", names) is None
    assert nearest("", names) is None


def test_a_higher_similarity_finds_less() -> None:
    assert nearest("prot", WORDS, ALMOST_EQUAL) is None
    assert nearest("ports", WORDS, ALMOST_EQUAL) == "port"


def test_the_suggestion_ends_a_message() -> None:
    assert did_you_mean("prot", WORDS) == " (did you mean 'port'?)"
    assert did_you_mean(3, WORDS) == ""
