# SPDX-License-Identifier: Apache-2.0
"""Which part of the shell library a shell receives, and what no part of it contains."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import mlcube_remote.remote
from mlcube_remote.remote import definitions, library, supervisor

FILES = sorted(Path(mlcube_remote.remote.__path__[0]).glob("*.sh"))
ALL = re.findall(r"^(mlcr_[a-z_]+)\(\)", library(), re.MULTILINE)


def test_the_library_is_its_functions_and_nothing_else() -> None:
    assert "".join(definitions(ALL).values()) == library()


@pytest.mark.parametrize("name", ALL)
def test_a_function_comes_with_all_functions_that_it_uses(name: str) -> None:
    report = definitions([name])
    used = set(re.findall(r"mlcr_[a-z_]+", "".join(report.values())))
    assert name in report
    assert used & set(ALL) <= report.keys()


def test_functions_that_were_sent_are_not_sent_again() -> None:
    first = definitions(["mlcr_probe_host"])
    second = definitions(["mlcr_claim_job"], first)
    assert first.keys().isdisjoint(second)
    assert first.keys() | second.keys() == definitions(["mlcr_probe_host", "mlcr_claim_job"]).keys()
    assert not definitions(["mlcr_probe_host"], first)


def test_a_function_that_is_an_argument_is_sent_too() -> None:
    assert "mlcr_run_in" in definitions(
        ["mlcr_run_while_connected", "mlcr_run_in", "/a folder", "make"]
    )


def test_words_that_are_not_functions_are_ignored() -> None:
    assert not definitions(["--", "", "mlcr_", "$(mlcr_probe_host)", "x mlcr_probe_host"])


def test_the_supervisor_contains_the_functions_that_it_uses() -> None:
    defined = set(re.findall(r"^(\w+)\(\)", supervisor(), re.MULTILINE))
    used = set(re.findall(r"\bmlcr_[a-z_]+", supervisor()))
    assert used & set(ALL) <= defined


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_a_file_that_cannot_be_written_does_not_end_the_shell(path: Path) -> None:
    """``:`` ends a POSIX shell if it cannot open a file, as on a full disk; ``true`` just fails."""
    assert not re.findall(r"^[^#]*(?<![\w$}]):\s+[0-9]*>.*", path.read_text(), re.MULTILINE)
