# SPDX-License-Identifier: Apache-2.0
"""Lists of host names become ranges that the command line accepts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcube_remote.inventory.host_ranges import expand, split_commas
from mlcube_remote.ui.host_ranges import format_ranges


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["gpu1"], "gpu1"),
        (["gpu1", "gpu2", "gpu3", "gpu5"], "gpu[1-3,5]"),
        (["gpu01", "gpu02", "cpu7"], "gpu[01-02],cpu7"),
        (["gpu08", "gpu09", "gpu10", "gpu11"], "gpu[08-11]"),
        (["gpu9", "gpu09", "gpu10"], "gpu9,gpu[09-10]"),
        (["n9", "n10", "n11"], "n[9-11]"),
        (["login", "gpu2", "login"], "login,gpu2"),
        (["rack1-a", "rack2-a", "rack2-b"], "rack[1-2]-a,rack2-b"),
        (["07@gpu1", "08@gpu1"], "07@gpu1,08@gpu1"),
    ],
)
def test_names_become_ranges(names: list[str], text: str) -> None:
    assert format_ranges(names) == text


NAMES = st.from_regex(r"[a-z]{1,3}[0-9]{0,4}(-[a-z])?", fullmatch=True)


@given(st.lists(NAMES, max_size=30))
def test_the_command_line_expands_ranges_to_the_same_names(names: list[str]) -> None:
    again = [name for part in split_commas(format_ranges(names)) for name in expand(part)]
    assert sorted(again) == sorted(set(names))
