# SPDX-License-Identifier: Apache-2.0
"""What --host takes, and ranges."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcube_remote.errors import InventoryError
from mlcube_remote.inventory import host_fields
from mlcube_remote.inventory.host_ranges import expand, split_commas
from mlcube_remote.inventory.load import empty, load
from mlcube_remote.inventory.model import Host, Inventory
from mlcube_remote.inventory.select import select

TEXT = """
defaults: {user: ada}
hosts: {'gpu[01-04]': {}, cpu1: {}, cpu2: {}}
groups: {train: 'gpu[01-02]', both: [train, cpu1], rack1: gpu03, rack2: cpu2}
"""


@pytest.fixture
def inventory(tmp_path: Path) -> Inventory:
    (tmp_path / "hosts.yaml").write_text(TEXT)
    return load(tmp_path / "hosts.yaml")


def names(inventory: Inventory, *patterns: str) -> list[str]:
    chosen = select(inventory, patterns, known_to_ssh=lambda name: name == "alias")
    return [host.name for host in chosen]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["gpu01"], ["gpu01"]),
        (["cpu2,gpu01", "gpu01"], ["cpu2", "gpu01"]),
        (["both"], ["gpu01", "gpu02", "cpu1"]),
        (["gpu[03-04,01]"], ["gpu03", "gpu04", "gpu01"]),
        (["cpu?"], ["cpu1", "cpu2"]),
        (["all,!gpu*"], ["cpu1", "cpu2"]),
        (["!train", "gpu*"], ["gpu03", "gpu04"]),
        (["!both"], ["gpu03", "gpu04", "cpu2"]),
        (["alias"], ["alias"]),
        (["10.1.2.3"], ["10.1.2.3"]),
        (["host.example.org"], ["host.example.org"]),
        (["local"], ["local"]),
        (["gpu[01-02]*"], ["gpu01", "gpu02"]),
        (["*"], ["gpu01", "gpu02", "gpu03", "gpu04", "cpu1", "cpu2"]),
        (["rack[1-2]"], ["gpu03", "cpu2"]),
        (["gpu0[4,1]", "!gpu[02-04]"], ["gpu01"]),
        (["ada@alias"], ["ada_alias"]),
        (["gpu01,!bob@gpu01", "cpu1"], ["cpu1"]),
    ],
)
def test_patterns_choose_hosts_in_order(
    inventory: Inventory, patterns: list[str], expected: list[str]
) -> None:
    assert names(inventory, *patterns) == expected


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("gpu05", "unknown host 'gpu05' (did you mean 'gpu04'?)"),
        ("trian", "unknown host 'trian' (did you mean 'train'?)"),
        ("x*", "'x*' matches no host"),
        ("gpu[09-01]", "the range 09-01 is empty"),
        ("-oProxyCommand=x", "expected a host's name, got '-oProxyCommand=x'"),
        ("a b", "expected a host's name, got 'a b'"),
        ("ada@host:99999", "expected a host's name, got 'ada@host:99999'"),
        ("gü01.org", "expected a host's name, got 'gü01.org'"),
        ("ada@host:٣", "expected a host's name, got 'ada@host:٣'"),
        ("host:0", "expected a host's name, got 'host:0'"),
        ("[::1", "brackets do not match"),
        ("[::x]", "expected a host's name, got '[::x]'"),
        ("x" * 99 + ".y", "expected a host's name"),
        ("l*", "'l*' matches no host"),
        ("!", "expected a host's name, got ''"),
        ("gpu[1-2]", "unknown host 'gpu1'"),
        ("gpu01,bob@gpu01", "'gpu01' is named twice, and differently ('bob@gpu01')"),
        ("a@b.c,a_b.c", "'a_b.c' is named twice, and differently"),
        ("cpu1,!cpu1", "no host is left to work on"),
        (",", "no host is left to work on"),
    ],
)
def test_what_means_no_host_is_refused(inventory: Inventory, pattern: str, message: str) -> None:
    with pytest.raises(InventoryError) as caught:
        names(inventory, pattern)
    assert message in str(caught.value)


def test_an_address_typed_directly_takes_the_defaults(inventory: Inventory) -> None:
    (host,) = select(inventory, ["bob@10.0.0.9:2200"])
    assert (host.address, host.user, host.port) == ("10.0.0.9", "bob", 2200)
    (host,) = select(inventory, ["10.0.0.9"])
    assert host.user == "ada"


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("::1", ("::1", None, None)),
        ("[::1]", ("::1", None, None)),
        ("bob@[fe80::1%eth0]:2200", ("fe80::1%eth0", "bob", 2200)),
    ],
)
def test_ipv6_addresses_can_be_typed(
    typed: str, expected: tuple[str, str | None, int | None]
) -> None:
    (host,) = select(empty(), [typed], known_to_ssh=lambda _: False)
    assert (host.address, host.user, host.port) == expected
    assert host_fields.NAME.fullmatch(host.name)


def test_another_user_or_port_leaves_the_rest_of_a_host_as_the_inventory_has_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "hosts.yaml"
    path.write_text("hosts: {gpu01: {address: 10.0.0.1, port: 2200, remote_root: /scratch}}")
    (host,) = select(load(path), ["bob@gpu01"])
    assert (host.name, host.address, host.port) == ("gpu01", "10.0.0.1", 2200)
    assert (host.user, host.remote_root) == ("bob", "/scratch")
    (host,) = select(load(path), ["gpu01:23"])
    assert (host.address, host.port) == ("10.0.0.1", 23)


NAMES = ("gpu01", "gpu02", "gpu03", "gpu04", "cpu1", "cpu2")


@given(st.lists(st.sampled_from(NAMES), min_size=1), st.sets(st.sampled_from(NAMES)))
def test_hosts_come_once_in_the_order_asked_without_the_excluded(
    asked: list[str], excluded: set[str]
) -> None:
    hosts = {name: Host(name=name) for name in NAMES}
    patterns = [*(f"!{name}" for name in sorted(excluded)), ",".join(asked)]
    expected = [name for name in dict.fromkeys(asked) if name not in excluded]
    inventory = Inventory(hosts=hosts, groups={})
    if expected:
        assert [host.name for host in select(inventory, patterns)] == expected
    else:
        with pytest.raises(InventoryError, match="no host is left"):
            select(inventory, patterns)


@given(st.text(max_size=12) | st.text(alphabet="ag01[]-,!*?@:.$ \n", max_size=12))
def test_whatever_is_typed_gives_safe_hosts_or_one_line(typed: str) -> None:
    inventory = Inventory(hosts={name: Host(name=name) for name in NAMES}, groups={})
    try:
        hosts = select(inventory, [typed], known_to_ssh=lambda _: True)
    except InventoryError as problem:
        assert "\n" not in problem.message  # noqa: PT017 - some texts raise, some don't
        return
    for host in hosts:
        assert host_fields.NAME.fullmatch(host.name)
        assert not (host.address or "").startswith("-")
        assert not (host.user or "").startswith("-")


def test_all_needs_hosts() -> None:
    with pytest.raises(InventoryError, match="there is no host in the inventory"):
        names(empty(), "all")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n[1-3]", ["n1", "n2", "n3"]),
        ("n[08-11]", ["n08", "n09", "n10", "n11"]),
        ("n[1,3,5-7]", ["n1", "n3", "n5", "n6", "n7"]),
        ("r[1-2]n[1-2]", ["r1n1", "r1n2", "r2n1", "r2n2"]),
        ("n[0-20:10]", ["n0", "n10", "n20"]),
        ("plain", ["plain"]),
    ],
)
def test_ranges_expand(text: str, expected: list[str]) -> None:
    assert list(expand(text)) == expected


@given(st.integers(0, 500), st.integers(0, 80), st.integers(1, 4))
def test_a_range_has_every_number_once_in_order(first: int, more: int, width: int) -> None:
    last = first + more
    found = expand(f"n[{first:0{width}d}-{last:0{width}d}]")
    assert [int(name[1:]) for name in found] == list(range(first, last + 1))
    assert len(set(found)) == len(found)


@given(st.lists(st.from_regex(r"[a-z]{1,4}(\[[0-9],[0-9]\])?", fullmatch=True), max_size=5))
def test_commas_in_brackets_do_not_split(parts: list[str]) -> None:
    assert split_commas(",".join(parts)) == parts
