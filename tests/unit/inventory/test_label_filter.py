# SPDX-License-Identifier: Apache-2.0
"""Filter hosts by their labels with --where."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcube_remote.errors import InventoryError
from mlcube_remote.inventory.label_filter import filter_by_labels
from mlcube_remote.inventory.model import Host

HOSTS = (
    Host(name="old", labels={"gpu": "v100", "rack": "1"}),
    Host(name="new", labels={"gpu": "a100", "rack": "2"}),
    Host(name="big", labels={"gpu": "a100-80g", "rack": "1"}),
    Host(name="cpu", labels={"rack": "2"}),
)


def chosen(*conditions: str, hosts: tuple[Host, ...] = HOSTS) -> list[str]:
    return [host.name for host in filter_by_labels(hosts, conditions, known=HOSTS)]


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([], ["old", "new", "big", "cpu"]),
        (["gpu=a100"], ["new"]),
        (["gpu=a100*"], ["new", "big"]),
        (["gpu=a100*", "rack=1"], ["big"]),
        (["gpu=a100*,rack=1"], ["big"]),
        (["gpu=*"], ["old", "new", "big"]),
        (["gpu!=*"], ["cpu"]),
        (["gpu!=v100"], ["new", "big", "cpu"]),
        ([" gpu = v100 "], ["old"]),
        (["gpu=?100"], ["old", "new"]),
    ],
)
def test_hosts_match_all_conditions(conditions: list[str], expected: list[str]) -> None:
    assert chosen(*conditions) == expected


@pytest.mark.parametrize(
    ("condition", "message", "hint"),
    [
        ("gpus=a100", "no host has a label 'gpus' (did you mean 'gpu'?)", "labels: gpu, rack"),
        ("gpu", "--where gpu: expected LABEL=VALUE", "--where gpu=a100"),
        ("=a100", "expected LABEL=VALUE", "--where gpu=a100"),
        ("gpu=", "expected LABEL=VALUE", "--where gpu=a100"),
        (
            "gpu=h100",
            "gpu=h100: matches none of old, new, big, cpu",
            "gpu is a100, a100-80g",
        ),
    ],
)
def test_a_condition_without_a_match_is_refused(condition: str, message: str, hint: str) -> None:
    with pytest.raises(InventoryError) as caught:
        chosen(condition)
    assert message in caught.value.message
    assert hint in str(caught.value.hint)


def test_the_hint_names_each_label_once() -> None:
    with pytest.raises(InventoryError) as caught:
        chosen("gpu=a100", "gpu!=a100")
    assert str(caught.value.hint).count("gpu is") == 1


def test_a_label_of_another_host_is_known_but_does_not_match() -> None:
    with pytest.raises(InventoryError, match="matches none of cpu") as caught:
        chosen("gpu=a100", hosts=HOSTS[3:])
    assert caught.value.hint == "gpu is not a label of these hosts"


def test_the_hint_shows_how_to_add_labels() -> None:
    with pytest.raises(InventoryError) as caught:
        filter_by_labels([Host(name="h")], ["gpu=a100"], known=[])
    assert "labels: {gpu: a100}" in str(caught.value.hint)


@given(st.text("gpu=!*,a100 x[", max_size=20))
def test_any_text_selects_hosts_in_order_or_is_refused(text: str) -> None:
    left: list[str] = []
    with contextlib.suppress(InventoryError):
        left = chosen(text)
    assert left == [host.name for host in HOSTS if host.name in left]
