# SPDX-License-Identifier: Apache-2.0
"""Select hosts with --host."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcube_remote.errors import InventoryError
from mlcube_remote.inventory.host_fields import NAME
from mlcube_remote.inventory.load import empty, load
from mlcube_remote.inventory.model import Host, Inventory
from mlcube_remote.inventory.select import machine_name, select, selector
from mlcube_remote.inventory.sshconfig import CONFIG_VARIABLE

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
    chosen = select(inventory, patterns, is_in_ssh_config=lambda name: name == "alias")
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
        (["ssh://gpu01"], ["gpu01"]),
        (["ssh://ada@10.1.2.3:2222/"], ["ada_10.1.2.3_2222"]),
        (["host.example.org"], ["host.example.org"]),
        (["local"], ["local"]),
        (["gpu[01-02]*"], ["gpu01", "gpu02"]),
        (["*"], ["gpu01", "gpu02", "gpu03", "gpu04", "cpu1", "cpu2"]),
        (["rack[1-2]"], ["gpu03", "cpu2"]),
        (["gpu0[4,1]", "!gpu[02-04]"], ["gpu01"]),
        (["ada@alias"], ["ada_alias"]),
        (["gpu01,bob@gpu01", "!gpu01"], ["bob_gpu01"]),
        (["gpu01,bob@gpu01", "!bob@gpu01"], ["gpu01"]),
    ],
)
def test_patterns_select_hosts_in_order(
    inventory: Inventory, patterns: list[str], expected: list[str]
) -> None:
    assert names(inventory, *patterns) == expected


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("gpu05", "host 'gpu05' is not in hosts.yaml or ~/.ssh/config (did you mean 'gpu04'?)"),
        ("trian", "host 'trian' is not in hosts.yaml or ~/.ssh/config (did you mean 'train'?)"),
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
        ("gpu[1-2]", "host 'gpu1' is not in hosts.yaml"),
        ("a@b.c,a_b.c", "'a_b.c' is named twice with different settings"),
        ("cpu1,!cpu1", "no host is selected"),
        (",", "no host is selected"),
    ],
)
def test_a_pattern_without_hosts_is_refused(
    inventory: Inventory, pattern: str, message: str
) -> None:
    with pytest.raises(InventoryError) as caught:
        names(inventory, pattern)
    assert message in str(caught.value)


def test_a_name_in_ssh_config_needs_no_settings_of_its_own(
    inventory: Inventory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text("Host plain\n")
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "config"))
    assert names(inventory, "plain") == ["plain"]


def test_a_name_that_ssh_does_not_read_is_explained(
    inventory: Inventory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ssh takes the home directory from the list of users; HOME may be another one."""
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text("Host gpu07\n  User me\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InventoryError, match="which ssh does not read: HOME is") as caught:
        names(inventory, "gpu07")
    assert caught.value.hint == "name the file: MLCUBE_REMOTE_SSH_CONFIG=~/.ssh/config"


def test_an_address_takes_the_defaults(inventory: Inventory) -> None:
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
    (host,) = select(empty(), [typed], is_in_ssh_config=lambda _: False)
    assert (host.address, host.user, host.port) == expected
    assert NAME.fullmatch(host.name)


def test_another_user_or_port_keeps_the_other_settings_of_the_inventory(
    tmp_path: Path,
) -> None:
    path = tmp_path / "hosts.yaml"
    path.write_text("hosts: {gpu01: {address: 10.0.0.1, port: 2200, remote_root: /scratch}}")
    (host,) = select(load(path), ["bob@gpu01"])
    assert (host.address, host.port) == ("10.0.0.1", 2200)
    assert (host.user, host.remote_root) == ("bob", "/scratch")
    (host,) = select(load(path), ["gpu01:23"])
    assert (host.address, host.port) == ("10.0.0.1", 23)


def test_another_user_on_a_host_of_the_inventory_is_a_host_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yaml"
    path.write_text("hosts: {gpu01: {port: 2200}}")
    inventory = load(path)

    mine, other, same = select(inventory, ["gpu01,bob@gpu01,gpu01:23,gpu01:2200"])

    assert (mine.name, other.name, same.name) == ("gpu01", "bob_gpu01", "gpu01_23")
    # The name that ssh_config knows.
    assert other.address == "gpu01"
    assert {machine_name(host) for host in (mine, other, same)} == {"gpu01"}
    for host in (mine, other, same):
        assert select(inventory, [selector(host)]) == (host,)


NAMES = ("gpu01", "gpu02", "gpu03", "gpu04", "cpu1", "cpu2")


@given(st.lists(st.sampled_from(NAMES), min_size=1), st.sets(st.sampled_from(NAMES)))
def test_hosts_are_selected_once_in_order_without_the_excluded(
    requested: list[str], excluded: set[str]
) -> None:
    hosts = {name: Host(name=name) for name in NAMES}
    patterns = [*(f"!{name}" for name in sorted(excluded)), ",".join(requested)]
    expected = [name for name in dict.fromkeys(requested) if name not in excluded]
    inventory = Inventory(hosts=hosts, groups={})
    if expected:
        assert [host.name for host in select(inventory, patterns)] == expected
    else:
        with pytest.raises(InventoryError, match="no host is selected"):
            select(inventory, patterns)


@given(st.text(max_size=12) | st.text(alphabet="ag01[]-,!*?@:.$ \n", max_size=12))
def test_any_text_selects_safe_hosts_or_is_refused_in_one_line(typed: str) -> None:
    inventory = Inventory(hosts={name: Host(name=name) for name in NAMES}, groups={})
    try:
        hosts = select(inventory, [typed], is_in_ssh_config=lambda _: True)
    except InventoryError as problem:
        assert "\n" not in problem.message  # noqa: PT017 - some texts raise, some don't
        return
    for host in hosts:
        assert NAME.fullmatch(host.name)
        assert not (host.address or "").startswith("-")
        assert not (host.user or "").startswith("-")


def test_all_needs_hosts(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match="'all': no inventory found") as caught:
        names(empty(), "all")
    assert caught.value.hint == (
        "name a host of ~/.ssh/config, or add one: mlcube-remote hosts add NAME USER@ADDRESS"
    )
    (tmp_path / "hosts.yaml").write_text("hosts:\n")
    with pytest.raises(InventoryError, match=r"'all': .*hosts\.yaml has no hosts"):
        names(load(tmp_path / "hosts.yaml"), "all")


@pytest.mark.parametrize(
    "typed",
    [
        "alice@elsewhere",
        "alice@elsewhere:2222",
        "elsewhere:2222",
        "alice@192.0.2.7",
        "192.0.2.7",
        "[2001:db8::1]:22",
        "alice@[2001:db8::1]",
        "ssh://alice@elsewhere:2222",
    ],
)
def test_a_destination_is_selected_again_by_its_selector(inventory: Inventory, typed: str) -> None:
    (host,) = select(inventory, [typed], is_in_ssh_config=lambda _: False)

    assert select(inventory, [selector(host)], is_in_ssh_config=lambda _: False) == (host,)
    assert selector(host) == typed.removeprefix("ssh://")


def test_the_selector_of_a_host_of_the_inventory_is_its_name(inventory: Inventory) -> None:
    for host in inventory.hosts.values():
        assert selector(host) == host.name
