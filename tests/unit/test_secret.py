# SPDX-License-Identifier: Apache-2.0
"""A secret shows itself to nobody but the one who asks for it by name."""

from __future__ import annotations

import copy
import json
import pickle

import attrs
import pytest

from mlcube_remote.inventory.model import Host
from mlcube_remote.secret import Secret


def test_no_way_of_printing_shows_it() -> None:
    secret = Secret("canary")
    host = Host(name="h", env={"T": secret})
    shown = [str(secret), repr(secret), f"{secret:>9}", repr(host), str(attrs.asdict(host))]
    assert not any("canary" in text for text in shown)
    assert secret.reveal() == "canary"


def test_it_cannot_be_written_to_a_record() -> None:
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(Secret("canary"))
    with pytest.raises(TypeError, match="cannot be pickled"):
        copy.copy(Secret("canary"))
    with pytest.raises(TypeError):
        json.dumps(Secret("canary"))


def test_equal_secrets_are_equal() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert len({Secret("a"), Secret("a")}) == 1
