# SPDX-License-Identifier: Apache-2.0
"""Inventories of Ansible: what is used, what is named as not used, and what is refused.

``ansible/lab.json`` is what ansible-inventory of ansible-core 2.19 printed for ``ansible/lab.ini``,
and also, group by group, for ``ansible/lab.yaml``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from mlcube_remote import yamlsource
from mlcube_remote.app.inventory_sources import read_source
from mlcube_remote.errors import InventoryError
from mlcube_remote.inventory import load
from mlcube_remote.inventory.ansible import read_listing, translate
from mlcube_remote.inventory.ansible_files import (
    is_ansible_yaml,
    looks_like_ini,
    read_ini,
    read_yaml,
)
from mlcube_remote.inventory.model import ConnectionKind, Host, Inventory
from mlcube_remote.inventory.sshconfig import resolve

FILES = Path(__file__).with_name("ansible")
UNUSED = "variables not used: ansible_password"


def from_listing(document: Any) -> tuple[Inventory, tuple[str, ...]]:
    done = translate(read_listing(document, FILES / "lab.json"), FILES / "lab.json")
    return load.read(done.document), done.notes


def from_ini(text: str) -> Inventory:
    path = FILES / "x.ini"
    return load.read(translate(read_ini(text, path), path).document)


def hosts(inventory: Inventory) -> dict[str, Host]:
    """Return hosts without the positions of their definitions."""
    return {name: attrs.evolve(host, source=None) for name, host in inventory.hosts.items()}


def test_the_answer_of_ansible_is_translated() -> None:
    found, notes = from_listing(json.loads((FILES / "lab.json").read_text()))
    gpu = found.hosts["gpu02"]
    assert (gpu.address, gpu.port, gpu.user) == ("10.0.0.1", 2222, "ada")
    assert (gpu.identity_file, gpu.jump) == (("~/.ssh/lab",), "bastion")
    assert (found.hosts["odd"].port, found.hosts["odd"].user) == (2200, "bob")
    assert found.hosts["localhost"].connection is ConnectionKind.LOCAL
    assert found.groups["lab"] == (*found.groups["gpu"], *found.groups["cpu"])
    assert found.groups["ungrouped"] == ("bastion",)
    assert [note.partition(": ")[2] for note in notes] == [UNUSED]


@pytest.mark.parametrize("kind", ["ini", "yaml"])
def test_the_own_readers_agree_with_ansible(kind: str) -> None:
    path = FILES / f"lab.{kind}"
    if kind == "ini":
        assert looks_like_ini(path.read_text())
        read = read_ini(path.read_text(), path)
    else:
        document = yamlsource.load(path, error=InventoryError)
        assert is_ansible_yaml(document, load.TOP_KEYS)
        read = read_yaml(document)
    done = translate(read, path)
    ours = load.read(done.document)
    expected, _ = from_listing(json.loads((FILES / "lab.json").read_text()))
    assert hosts(ours) == hosts(expected)
    assert {name: set(ours.groups[name]) for name in ("lab", "gpu", "cpu")} == {
        name: set(expected.groups[name]) for name in ("lab", "gpu", "cpu")
    }
    assert [note.partition(": ")[2] for note in done.notes] == [UNUSED]
    assert (
        str(ours.hosts["odd"].source)
        .rpartition(":")[0]
        .endswith("lab.ini:6" if kind == "ini" else "lab.yaml:19")
    )


def test_the_files_of_this_program_are_not_taken_for_others() -> None:
    for text in ("hosts: {a: {}}", "# x\nhosts:\n  a:\n", "defaults: {user: ada}\nhosts: {}"):
        document = yamlsource.parse(text, path=Path("h.yaml"), error=InventoryError)
        assert not is_ansible_yaml(document, load.TOP_KEYS)
        assert not looks_like_ini(text)
    assert not looks_like_ini("")
    assert looks_like_ini("web1 ansible_host=10.0.0.1\n")
    assert looks_like_ini("; web\nweb[01:10]\n")


def test_an_inner_group_and_then_the_host_take_precedence() -> None:
    found = from_ini(
        "[web]\na ansible_user=own\nb\nc\n[inner]\nb\n[outer:children]\nweb\ninner\n"
        "[web:children]\ninner\n[all:vars]\nansible_user=all\n[outer:vars]\nansible_user=outer\n"
        "[web:vars]\nansible_user = web\n[inner:vars]\nansible_user='inner'\n"
    )
    users = {name: found.hosts[name].user for name in "abc"}
    assert users == {"a": "own", "b": "inner", "c": "web"}


def test_own_keys_are_in_a_variable() -> None:
    found = from_ini('a mlcube_remote=\'{"slots": 3, "labels": {"gpu": "a100"}}\'\n')
    assert (found.hosts["a"].slots, found.hosts["a"].labels) == (3, {"gpu": "a100"})
    with pytest.raises(InventoryError, match=r"x\.ini:1:1: a: unknown key 'slot'"):
        from_ini("a mlcube_remote='{\"slot\": 3}'\n")


def test_ranges() -> None:
    found = from_ini("n[08:12:2].x\n[g]\nr[1:2]-[a:b]:2222\nw[1:5:3].x:2022\n")
    assert [name for name in found.hosts if name != "local"] == [
        *("n08.x", "n10.x", "n12.x", "r1-a", "r1-b", "r2-a", "r2-b", "w1.x", "w4.x")
    ]
    assert found.hosts["w4.x"].port == 2022
    assert found.hosts["r2-b"].port == 2222


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a b=1 c", "x.ini:1: expected NAME=VALUE after the host"),
        ("[g]\na 'b", "x.ini:2: quotes do not match"),
        ("[g:vars]\nx", "x.ini:2: expected NAME=VALUE, got 'x'"),
        ("n[5:1]", "x.ini:1: the range [5:1] is empty"),
        ("n[1:b]", "expected a range such as [01:10]"),
        ("n[1:99999999]", "x.ini:1: the range"),
        ("n[1:9999]-[1:9999]", "x.ini:1: more than 20,000 hosts"),
        ("n[x", "expected a host, or a range"),
        (
            "a\nfe80::1",
            "x.ini:2: expected the name of a host, got the address 'fe80::1'; write NAME",
        ),
        ("a\n[::1]:22", "got the address '[::1]'; write NAME ansible_host=::1"),
        ("[a:children]\nb\n[b:children]\na", "x.ini: groups contain each other"),
        ("a ansible_host={{base}}", "a: ansible_host is a template"),
        ("a ansible_port=http", "expected a port"),
        ("a ansible_host='x y'", "x.ini:1:1: a: address: expected a host name"),
        ("[g]\n", "lists no host that ssh can reach"),
        ("w ansible_connection=winrm", "lists no host that ssh can reach"),
    ],
)
def test_mistakes_have_a_line(text: str, problem: str) -> None:
    with pytest.raises(InventoryError) as caught:
        from_ini(text)
    assert problem in str(caught.value)


def test_a_password_is_not_shown() -> None:
    with pytest.raises(InventoryError) as caught:
        from_ini("a ansible_password=hunter2 hunter3")
    assert "hunter" not in f"{caught.value} {caught.value.hint}"
    _, notes = from_listing({"g": ["a"], "_meta": {"hostvars": {"a": {"ansible_password": "p4"}}}})
    assert "p4" not in str(notes)


@pytest.mark.parametrize(
    ("arguments", "jump", "unused"),
    [
        ("-J ada@gate:2222,b", "ada@gate:2222,b", ""),
        ("-Jgate", "gate", ""),
        ("-o ProxyJump=gate", "gate", ""),
        ("-oProxyJump=gate", "gate", ""),
        ("-o 'ProxyJump gate'", "gate", ""),
        ("-o ProxyJump=none", None, ""),
        ("-o ProxyJump=gate -o StrictHostKeyChecking=no", "gate", "StrictHostKeyChecking"),
        ("-C -F x -o ForwardAgent=yes -J gate", "gate", "-C, -F, ForwardAgent"),
        ("-o ProxyCommand='ssh -W %h:%p -q ada@10.0.0.1'", "ada@10.0.0.1", ""),
        ("-o ProxyCommand='ssh -q -l ada -p 2222 gate -W %h:%p'", "ada@gate:2222", ""),
        ("-o 'ProxyCommand=ssh -i k gate -W %h:%p'", "gate", ""),
        ("-o 'ProxyCommand=ssh -o IdentitiesOnly=yes -i k gate -W %h:%p'", "gate", ""),
        (
            "-o 'ProxyCommand=ssh -o IdentitiesOnly=yes -C gate -W %h:%p'",
            "gate",
            "-C of ProxyCommand, IdentitiesOnly of ProxyCommand",
        ),
        ("-i k -o IdentitiesOnly=yes", None, ""),
        ("-o IdentitiesOnly=yes", None, "IdentitiesOnly"),
        ("-o ProxyCommand='nc %h %p'", None, "ProxyCommand"),
        ("-o ProxyCommand='ssh gate nc %h %p'", None, "ProxyCommand"),
        ("-o ProxyCommand='ssh -W h:22 gate'", None, "ProxyCommand"),
        ('-o ProxyCommand="ssh \'x"', None, "ProxyCommand"),
        ("-o", None, "-o"),
        ("-o 'x", None, "options whose quotes do not match"),
    ],
)
def test_jump_hosts_are_found_in_the_options_of_ssh(
    arguments: str, jump: str | None, unused: str
) -> None:
    variables = {"ansible_ssh_common_args": arguments}
    found, notes = from_listing({"g": ["a"], "_meta": {"hostvars": {"a": variables}}})
    assert found.hosts["a"].jump == jump
    named = [note.partition("not used: ")[2].partition(";")[0] for note in notes]
    assert named == ([unused] if unused else [])


def given_alone(_: str, given: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Stand for an empty ssh_config."""
    return {key.lower(): (value,) for key, value in given.items()}


@pytest.mark.parametrize(
    "command",
    [
        "ssh -W %h:%p -i ~/gate.pem ada@gate",
        "ssh -i ~/gate.pem -i ~/other.pem -q -W %h:%p ada@gate",
        "ssh -o IdentityFile=~/gate.pem -W %h:%p -l ada gate",
    ],
)
def test_the_key_for_a_jump_host_is_used(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    arguments = f"-o ProxyCommand='{command}' -i host.pem"
    listed = {"web": {"ansible_host": "10.0.0.1", "ansible_ssh_common_args": arguments}}
    path = FILES / "lab.json"
    done = translate(read_listing({"_meta": {"hostvars": listed}}, path), path)
    assert done.notes == ()
    inventory = attrs.evolve(load.read(done.document), jump_keys=done.jump_keys)
    endpoint = resolve(inventory.hosts["web"], inventory, given_alone)
    assert endpoint.identity_files == (str(FILES / "host.pem"),)
    (gate,) = endpoint.proxy_jump
    assert (gate.hostname, gate.user) == ("gate", "ada")
    assert gate.identity_files == ("/home/ada/gate.pem",)
    for own, used in (((), ("/home/ada/gate.pem",)), (("/own",), ("/own",))):
        known = Host(name="gate", connection=ConnectionKind.SSH, identity_file=own)
        listed_too = attrs.evolve(inventory, hosts={**inventory.hosts, "gate": known})
        (gate,) = resolve(inventory.hosts["web"], listed_too, given_alone).proxy_jump
        assert gate.identity_files == used


@pytest.mark.parametrize("other", ["-i other.pem ", ""])
def test_different_keys_for_one_jump_host_are_named_and_not_used(other: str) -> None:
    listed = {
        name: {"ansible_ssh_common_args": f"-o ProxyCommand='ssh {key}-W %h:%p gate'"}
        for name, key in (("a", "-i one.pem "), ("b", other))
    }
    path = FILES / "lab.json"
    done = translate(read_listing({"_meta": {"hostvars": listed}}, path), path)
    assert done.jump_keys == {}
    (note,) = done.notes
    assert "keys for jump hosts not used, because hosts name different ones: gate" in note


def test_a_value_may_name_another_one() -> None:
    found = from_ini(
        "web1.lab ansible_host='{{ip}}' ip=10.0.0.7 ansible_user='{{ inventory_hostname_short }}'\n"
        'db ansible_host="{{ inventory_hostname }}.lab" '
        "ansible_ssh_common_args='-o ProxyCommand=\"ssh -W %h:%p gate\"'\n"
    )
    web, db = found.hosts["web1.lab"], found.hosts["db"]
    assert (web.address, web.user) == ("10.0.0.7", "web1")
    assert (db.address, db.jump) == ("db.lab", "gate")
    for text in ("{{ a }}", "{{ b | upper }}", "{{ c }}", "{% if b %}x{% endif %}"):
        with pytest.raises(InventoryError, match="web: ansible_host is a template"):
            from_ini(f"web b=x c='{'y' * 300}' ansible_host='{text}'")


ENCRYPTED = """
all:
  vars:
    ansible_user: !unsafe ada
    ansible_become_pass: !vault |
      $ANSIBLE_VAULT;1.1;AES256
      3233
  hosts:
    web:
      KEY: !vault |
        $ANSIBLE_VAULT;1.1;AES256
        3435
"""


def test_an_encrypted_value_is_refused_only_if_it_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text(ENCRYPTED.replace("KEY", "api_key"))
    done = read_source(path, may_run=None)
    assert load.read(done.document).hosts["web"].user == "ada"
    assert [note.partition(": ")[2] for note in done.notes] == [
        "variables not used: ansible_become_pass"
    ]
    path.write_text(ENCRYPTED.replace("KEY", "ansible_host"))
    with pytest.raises(InventoryError, match="web: ansible_host is encrypted"):
        read_source(path, may_run=None)
    listed = {"web": {"ansible_host": {"__ansible_vault": "$ANSIBLE_VAULT;1.1;AES256\n3435\n"}}}
    with pytest.raises(InventoryError, match="web: ansible_host is encrypted"):
        from_listing({"_meta": {"hostvars": listed}})
    path.write_text("hosts:\n  web:\n    user: !vault x\n")
    with pytest.raises(InventoryError, match=r"hosts\.yml:3:11: the tag '!vault' is not allowed"):
        read_source(path, may_run=None)


def test_groups_with_names_of_this_program_do_not_hinder() -> None:
    document = {"local": ["a"], "all": ["a"], "k8s-cluster": {"children": ["local"]}}
    found, notes = from_listing(document)
    assert found.groups == {"k8s-cluster": ("a",)}
    assert [note.partition(": ")[2] for note in notes] == [
        "groups not used, because of their names: local"
    ]


def test_what_cannot_be_used_is_named() -> None:
    found, notes = from_listing(
        {
            "web": {"hosts": ["web", "a"], "children": ["odd name", "nowhere"]},
            "odd name": {"hosts": {"b": None}},
            "_meta": {"hostvars": {"win": {"ansible_connection": "winrm"}}},
        }
    )
    assert {"web", "a", "b"} <= found.hosts.keys()
    assert "win" not in found.hosts
    assert found.groups == {}
    assert [note.partition(": ")[2] for note in notes] == [
        "hosts not used, because ssh cannot reach them: win (winrm)",
        "groups not used, because of their names: web, odd name",
    ]


@pytest.mark.parametrize(
    "document",
    [
        *([], "x", {"g": 1}, {"g": {"hosts": 1}}, {"g": {"hosts": [1]}}, {"_meta": []}),
        *({"_meta": {"hostvars": []}}, {"_meta": {"hostvars": {"a": 1}}}),
    ],
)
def test_another_form_is_refused(document: Any) -> None:
    with pytest.raises(InventoryError, match=r"lab\.json: "):
        from_listing(document)


@pytest.mark.parametrize(
    "text",
    [
        "all: {hosts: [a]}",
        "all: {children: {x: {hots: {}}}}",
        "all: {hosts: {a: 1}}",
        "g: {children: {g: {}}}",
    ],
)
def test_mistakes_in_yaml_are_refused(text: str) -> None:
    document = yamlsource.parse(text, path=Path("i.yaml"), error=InventoryError)
    assert is_ansible_yaml(document, load.TOP_KEYS)
    with pytest.raises(InventoryError, match=r"i\.yaml"):
        read_yaml(document)


@pytest.mark.parametrize(
    ("variable", "is_named"),
    [
        ("ansible_python_interpreter", False),
        ("ansible_perl_interpreter", False),
        ("ansible_remote_tmp", False),
        ("ansible_ssh_pipelining", False),
        ("ansible_distribution_version", False),
        ("nginx_port", False),
        ("ansible", False),
        ("ansible_become", True),
        ("ansible_ssh_pass", True),
        ("ansible_hots", True),
        ("ansible_timeout", True),
    ],
)
def test_only_variables_about_the_login_are_named_as_not_used(
    variable: str, is_named: bool
) -> None:
    _, notes = from_listing({"_meta": {"hostvars": {"web": {variable: "x"}}}})
    assert [note.partition("not used: ")[2] for note in notes] == [variable] * is_named
