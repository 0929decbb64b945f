# SPDX-License-Identifier: Apache-2.0
"""How much of the shell library a host's shell is told."""

from __future__ import annotations

import re

import pytest

from mlcube_remote.remote import definitions, library, supervisor

ALL = re.findall(r"^(mlcr_[a-z_]+)\(\)", library(), re.MULTILINE)


def test_the_library_is_its_functions_and_nothing_else() -> None:
    assert "".join(definitions(ALL).values()) == library()


@pytest.mark.parametrize("name", ALL)
def test_a_function_comes_with_all_that_it_uses(name: str) -> None:
    told = definitions([name])
    used = set(re.findall(r"mlcr_[a-z_]+", "".join(told.values())))
    assert name in told
    assert used & set(ALL) <= told.keys()


def test_what_is_known_is_not_told_again_nor_what_only_that_uses() -> None:
    first = definitions(["mlcr_probe_host"])
    second = definitions(["mlcr_claim_job"], first)
    assert first.keys().isdisjoint(second)
    assert first.keys() | second.keys() == definitions(["mlcr_probe_host", "mlcr_claim_job"]).keys()
    assert not definitions(["mlcr_probe_host"], first)


def test_a_function_that_is_handed_to_another_is_told_too() -> None:
    assert "mlcr_run_in" in definitions(
        ["mlcr_run_while_connected", "mlcr_run_in", "/a folder", "make"]
    )


def test_other_words_tell_nothing() -> None:
    assert not definitions(["--", "", "mlcr_", "$(mlcr_probe_host)", "x mlcr_probe_host"])


def test_the_supervisor_brings_what_it_uses() -> None:
    defined = set(re.findall(r"^(\w+)\(\)", supervisor(), re.MULTILINE))
    used = set(re.findall(r"\bmlcr_[a-z_]+", supervisor()))
    assert used & set(ALL) <= defined
