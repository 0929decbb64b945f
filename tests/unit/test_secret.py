# SPDX-License-Identifier: Apache-2.0
"""Only ``reveal`` returns the text of a secret."""

from __future__ import annotations

import copy
import json
import pickle

import attrs
import pytest

from mlcube_remote.inventory.model import Host
from mlcube_remote.secret import Secret


def test_no_way_of_printing_shows_the_text() -> None:
    secret = Secret("canary")
    host = Host(name="h", env={"T": secret})
    shown = [str(secret), repr(secret), f"{secret:>9}", repr(host), str(attrs.asdict(host))]
    assert not any("canary" in text for text in shown)
    assert secret.reveal() == "canary"


def test_a_secret_cannot_be_pickled_copied_or_written_as_json() -> None:
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
