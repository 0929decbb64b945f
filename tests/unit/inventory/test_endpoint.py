# SPDX-License-Identifier: Apache-2.0
"""Destinations as people type them."""

from __future__ import annotations

import pytest

from mlcube_remote.inventory.endpoint import Destination, parse_destination


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gpu01", Destination(host="gpu01")),
        ("ada@gpu01:2222", Destination(host="gpu01", user="ada", port=2222)),
        ("[::1]:22", Destination(host="::1", port=22)),
        ("LAB\\ada@[fe80::1%eth0]", Destination(host="fe80::1%eth0", user="LAB\\ada")),
    ],
)
def test_a_destination_is_split(text: str, expected: Destination) -> None:
    assert parse_destination(text) == expected


@pytest.mark.parametrize(
    "text", ["", "x:0", "x:99999", "x:", "[x]:22", "::1", "a@b@c", "-oX", "a b", "$(id)@x", "gü01"]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected \[user@\]host\[:port\], got "):
        parse_destination(text)


def test_names_that_ssh_has_checked_may_have_other_characters() -> None:
    destination = parse_destination("a+b@host%x:22", is_checked=True)
    assert destination == Destination(host="host%x", user="a+b", port=22)
