# SPDX-License-Identifier: Apache-2.0
"""A host is added to the text of a file, and everything else in the file stays as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlcube_remote.errors import InventoryError
from mlcube_remote.inventory.edit import add_host

FILE = Path("hosts.yaml")
KEYS = {"address": "10.0.0.9", "user": "ada", "port": 2222}
ADDED = "  new:\n    address: 10.0.0.9\n    user: ada\n    port: 2222\n"

COMMENTED = """\
# yaml-language-server: $schema=x
defaults: {user: me}   # for all

hosts:
  # the first one
  b: {address: 10.0.0.2}
  a:
    # its address
    address: 10.0.0.1

  # the end of the hosts

# groups begin here
groups:
  both: [a, b]
"""


def test_comments_and_order_stay() -> None:
    text, inventory = add_host(COMMENTED, FILE, "new", KEYS)
    end = "  # the end of the hosts\n"
    assert text == COMMENTED.replace(end, end + ADDED)
    assert list(inventory.hosts)[:3] == ["b", "a", "new"]
    assert inventory.hosts["new"].port == 2222


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", f"hosts:\n{ADDED}"),
        ("# x\n", f"# x\nhosts:\n{ADDED}"),
        ("hosts:\n", f"hosts:\n{ADDED}"),
        ("hosts:", f"hosts:\n{ADDED}"),
        ("hosts: {}  # none yet\ngroups: {}\n", f"hosts:  # none yet\n{ADDED}groups: {{}}\n"),
        ("groups: {}", f"groups: {{}}\nhosts:\n{ADDED}"),
        ("hosts:\n  a: {}", f"hosts:\n  a: {{}}\n{ADDED}"),
        (
            "hosts:\n    a:\n        port: 1\ngroups: {}\n",
            (
                "hosts:\n    a:\n        port: 1\n    new:\n      address: 10.0.0.9\n"
                "      user: ada\n      port: 2222\ngroups: {}\n"
            ),
        ),
    ],
)
def test_other_forms(text: str, expected: str) -> None:
    assert add_host(text, FILE, "new", KEYS)[0] == expected


def test_a_host_that_ssh_config_knows_has_no_keys() -> None:
    assert add_host("hosts:\n  a: {}\n", FILE, "gpu", {})[0] == "hosts:\n  a: {}\n  gpu:\n"


@pytest.mark.parametrize("name", ["0755", "yes", "1e5", "1.5", "null", "n.1", "_1", "12"])
def test_words_that_yaml_reads_in_another_way_are_quoted(name: str) -> None:
    _, inventory = add_host("", FILE, name, {"address": name, "user": name})
    assert (inventory.hosts[name].address, inventory.hosts[name].user) == (name, name)


@pytest.mark.parametrize("text", ["hosts: {a: {}}\n", '"hosts":\n  a: {}\n'])
def test_a_form_that_cannot_be_changed_is_left_to_the_user(text: str) -> None:
    with pytest.raises(InventoryError, match="cannot be added to a file of this form") as caught:
        add_host(text, FILE, "new", KEYS)
    assert ADDED.rstrip() in str(caught.value.hint)


@pytest.mark.parametrize(
    ("text", "name", "problem"),
    [
        ("hosts:\n  new: {}\n", "new", "hosts.yaml:2:3: there is already a host new"),
        ("hosts:\n  n[1-3]: {}\n", "n2", "there is already a host n2"),
        ("hosts:\n  a: {adress: x}\n", "new", "unknown key 'adress'"),
        ("", "a b", "expected a host's name"),
        ("", "all", "means all hosts"),
        ("hosts:\n  a: {}\ngroups: {new: [a]}\n", "new", "already a host"),
    ],
)
def test_mistakes(text: str, name: str, problem: str) -> None:
    with pytest.raises(InventoryError) as caught:
        add_host(text, FILE, name, KEYS)
    assert problem in str(caught.value)
