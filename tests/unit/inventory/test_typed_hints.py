# SPDX-License-Identifier: Apache-2.0
"""Commands in hints name a host as it was typed, so that they can be pasted."""

from __future__ import annotations

import pytest

from mlcube_remote.errors import HostError
from mlcube_remote.inventory.model import Host
from mlcube_remote.inventory.typed_hints import hints_as_typed

TYPED = Host(name="me_gpu01", typed="me@gpu01:22")


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        ("mlcube-remote login me_gpu01", "mlcube-remote login me@gpu01:22"),
        ("is it full? mlcube-remote hosts check me_gpu01", None),
        ("wait (--wait), or: mlcube-remote hosts top me_gpu01", None),
        ("mlcube-remote ps --all --host=me_gpu01", "mlcube-remote ps --all --host=me@gpu01:22"),
        ("mlcube-remote login me_gpu01-2", "mlcube-remote login me_gpu01-2"),
        ("try it on me_gpu01: docker version", "try it on me_gpu01: docker version"),
    ],
)
def test_a_command_has_what_was_typed(hint: str, expected: str | None) -> None:
    with pytest.raises(HostError) as caught, hints_as_typed(TYPED):
        raise HostError(TYPED.name, "no", hint=hint)
    assert caught.value.hint == (expected or hint.replace("me_gpu01", "me@gpu01:22"))


def test_it_is_one_word_of_the_shell() -> None:
    with pytest.raises(HostError) as caught, hints_as_typed(Host(name="a_b", typed="a;b@c")):
        raise HostError("a_b", "no", hint="mlcube-remote login a_b")
    assert caught.value.hint == "mlcube-remote login 'a;b@c'"


@pytest.mark.parametrize("host", [Host(name="gpu01"), TYPED])
def test_other_errors_stay_as_they_are(host: Host) -> None:
    with pytest.raises(HostError) as caught, hints_as_typed(host):
        raise HostError("gpu01", "no", hint=None if host is TYPED else "mlcube-remote login gpu01")
    assert caught.value.hint == (None if host is TYPED else "mlcube-remote login gpu01")
