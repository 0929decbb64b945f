# SPDX-License-Identifier: Apache-2.0
"""Translate the hosts, groups and variables of an Ansible inventory into those of ``hosts.yaml``.

:data:`VARIABLES` says which variables are used; ``mlcube_remote`` has the keys of ``hosts.yaml``
that Ansible does not know. All other variables are named in one note, never with their values.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs

from mlcube_remote.budgets import Budget, OverBudgetError
from mlcube_remote.errors import InventoryError
from mlcube_remote.formatting import list_first
from mlcube_remote.inventory.host_fields import MAX_NAME_LENGTH, NAME
from mlcube_remote.inventory.model import TRUST_SETTING
from mlcube_remote.inventory.ssh_arguments import KEY_ONLY, read_ssh_arguments
from mlcube_remote.yamlsource import Key, Position, YamlDocument, shown_path

OWN_VARIABLE = "mlcube_remote"
"""The variable with keys of ``hosts.yaml``."""

VARIABLES: Mapping[str, str] = MappingProxyType(
    {
        "ansible_host": "address",
        "ansible_ssh_host": "address",
        "ansible_port": "port",
        "ansible_ssh_port": "port",
        "ansible_user": "user",
        "ansible_ssh_user": "user",
        "ansible_private_key_file": "identity_file",
        "ansible_ssh_private_key_file": "identity_file",
    }
)
"""Variable → key of ``hosts.yaml``. If a host has two for one key, the later one is used."""

_MEANINGLESS = re.compile(
    r"(?!ansible_).*|ansible_(python|shell|facts|distribution|os_family|architecture|remote_tmp|async"
    r"|pipelining|ssh_pipelining|scp|sftp|ssh_transfer|.*_interpreter|.*_winrm).*"
)
"""Variables without a meaning here: those of playbooks, and those of how Ansible's modules run."""

_KEYS = frozenset(name for name, key in VARIABLES.items() if key == "identity_file")
_ARGUMENTS = ("ansible_ssh_common_args", "ansible_ssh_extra_args")
_SSH = frozenset({"ssh", "smart", "paramiko", "paramiko_ssh", "ansible.builtin.ssh"})
_LOCAL = frozenset({"local", "ansible.builtin.local"})
_TEMPLATE = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}", re.ASCII)
_VAULT, _UNSAFE = "__ansible_vault", "__ansible_unsafe"
"""Keys under which ``ansible-inventory`` prints an encrypted text, and one that is no template."""
_ENCRYPTED = "$ANSIBLE_VAULT;"
_MAX_ARGUMENTS = 4096
_MAX_MEMBERS = 500_000
_MAX_FILLED = 255
"""Number of characters of a value with other values in it: many hosts repeat it."""


@attrs.frozen(kw_only=True)
class AnsibleInventory:
    """Hosts with all their variables, and groups."""

    hosts: Mapping[str, Mapping[str, Any]]
    """Host → its variables, those of its groups included."""
    groups: Mapping[str, tuple[str, ...]]
    """Group → its hosts and groups."""
    lines: Mapping[str, int] = attrs.field(factory=dict)
    """Host → its line in the file, if it is known."""


@attrs.define
class _Collected:
    """What the variables of all hosts have, in the order of its first use."""

    variables: dict[str, None] = attrs.field(factory=dict)
    """Those that have no meaning here."""
    options: dict[str, None] = attrs.field(factory=dict)
    """Options of ssh that have none."""
    jump_keys: dict[str, dict[str | None, None]] = attrs.field(factory=dict)
    """Jump host → files with the private key for it; ``None``: a host names none."""

    def notes(self, name: str) -> Iterator[str]:
        """Yield what is not used; ``name`` is the inventory."""
        if self.options:
            yield (
                f"{name}: options of ssh not used: {_list(sorted(self.options))}; if hosts need "
                "them, put them into ~/.ssh/config"
            )
        if ambiguous := [jump for jump, files in self.jump_keys.items() if len(files) > 1]:
            yield (
                f"{name}: keys for jump hosts not used, because hosts name different ones: "
                f"{_list(ambiguous)}; put them into ~/.ssh/config"
            )
        if self.variables:
            yield f"{name}: variables not used: {_list(sorted(self.variables))}"

    def keys_below(self, directory: Path) -> dict[str, str]:
        """Return jump host → the key that all hosts name; relative paths start at a directory."""
        return {
            jump: os.path.join(directory, os.path.expanduser(file))
            for jump, files in self.jump_keys.items()
            for file in files
            if file is not None and len(files) == 1
        }


@attrs.frozen(kw_only=True)
class Translation:
    """The content of a ``hosts.yaml`` with the same hosts, and what is missing from it."""

    document: YamlDocument
    notes: tuple[str, ...] = ()
    """What was not used, one line each."""
    trust_setting: str = TRUST_SETTING
    """How the user sets in the file that new host keys are trusted, for hints."""
    jump_keys: Mapping[str, str] = attrs.field(factory=dict)
    """Jump host → file with the private key for it, if no host of the file says it."""


def read_listing(document: Any, path: Path) -> AnsibleInventory:
    """Return the inventory in the answer of ``ansible-inventory --list``, or of a program like it.

    Args:
        document: The JSON document: groups, and ``_meta`` with the variables of hosts.
        path: The inventory, for messages.

    Raises:
        InventoryError: It has another form.
    """
    name = shown_path(path)
    if not isinstance(document, Mapping):
        raise InventoryError(f"{name}: expected a JSON object, with groups or hosts")
    meta = document.get("_meta", {})
    variables = meta.get("hostvars", {}) if isinstance(meta, Mapping) else None
    if not isinstance(variables, Mapping):
        raise InventoryError(f"{name}: _meta: expected hostvars, a mapping of hosts to variables")
    hosts: dict[str, Mapping[str, Any]] = {}
    groups: dict[str, tuple[str, ...]] = {}
    for group, given in document.items():
        if group == "_meta":
            continue
        members = {"hosts": given} if isinstance(given, list) else given
        if not isinstance(members, Mapping):
            raise InventoryError(f"{name}: {group}: expected a list of hosts, or a group")
        named = _names(name, group, members.get("hosts"))
        groups[group] = (*named, *_names(name, group, members.get("children")))
        hosts.update({host: {} for host in named})
    for host, given in variables.items():
        if not isinstance(given, Mapping):
            raise InventoryError(f"{name}: {host}: expected a mapping of variables")
        hosts[host] = given
    return AnsibleInventory(hosts=hosts, groups=groups)


def _names(name: str, group: str, given: Any) -> tuple[str, ...]:
    # The older form of a group has a mapping of hosts.
    members = list(given) if isinstance(given, (list, Mapping)) else None
    if given is not None and (members is None or not all(isinstance(m, str) for m in members)):
        raise InventoryError(f"{name}: {group}: expected a list of names")
    return tuple(members or ())


def translate(inventory: AnsibleInventory, path: Path) -> Translation:
    """Return an inventory as the content of a ``hosts.yaml``.

    Args:
        inventory: Its hosts and groups.
        path: The inventory; relative paths in it start at its directory.

    Raises:
        InventoryError: There is no host, or a variable that is needed is a template.
    """
    name = shown_path(path)
    collected = _Collected()
    others: list[str] = []
    hosts: dict[Key, Any] = {}
    for host, variables in inventory.hosts.items():
        connection = variables.get("ansible_connection", "ssh")
        if connection in _LOCAL or connection in _SSH:
            hosts[host] = dict(_keys(f"{name}: {host}", host, variables, collected))
        else:
            others.append(f"{host} ({connection})")
    if not hosts:
        raise InventoryError(
            f"{name}: lists no host that ssh can reach", hint=f"look at it: {shown_path(path)}"
        )
    notes = []
    if others:
        notes.append(f"{name}: hosts not used, because ssh cannot reach them: {_list(others)}")
    try:
        groups, refused = _groups(inventory, hosts)
    except OverBudgetError as problem:
        raise InventoryError(f"{name}: {problem}") from problem
    if refused:
        notes.append(f"{name}: groups not used, because of their names: {_list(refused)}")
    notes += collected.notes(name)
    lines: dict[tuple[Key, ...], Position] = {
        ("hosts", host): Position(line, 1) for host, line in inventory.lines.items()
    }
    document = YamlDocument(path=path, data={"hosts": hosts, "groups": groups}, positions=lines)
    setting = f"the variable `{OWN_VARIABLE}: {{host_keys: accept-new}}` in {name}"
    return Translation(
        document=document,
        notes=tuple(notes),
        trust_setting=setting,
        jump_keys=collected.keys_below(path.parent),
    )


def _list(names: list[str]) -> str:
    return list_first([name[:MAX_NAME_LENGTH] for name in names], 8)


def _groups(
    inventory: AnsibleInventory, hosts: Mapping[Key, Any]
) -> tuple[dict[Key, Any], list[str]]:
    """Return the groups that hosts.yaml can have, and the names of those that it cannot."""
    # Every inventory has the host "local", and "all" means all hosts.
    chosen = {
        name
        for name in inventory.groups
        if NAME.fullmatch(name) and name not in hosts and name not in ("all", "local")
    }
    refused = [name for name in inventory.groups if name not in chosen and name != "all"]
    groups: dict[Key, Any] = {}
    steps = Budget(_MAX_MEMBERS, "members of groups")
    usable = chosen | hosts.keys()
    for name in inventory.groups:
        if name in chosen:
            known = _usable_members(inventory, name, usable, steps)
            if known or name != "ungrouped":
                groups[name] = known
    return groups, refused


def _usable_members(
    inventory: AnsibleInventory, name: str, usable: AbstractSet[Any], steps: Budget
) -> list[str]:
    """Return the members of a group; those of a group that cannot be used stand in its place."""
    members: dict[str, None] = {}
    seen, todo = {name}, [name]
    for group in todo:
        steps.spend(len(inventory.groups[group]))
        for each in inventory.groups[group]:
            if each in usable:
                members.setdefault(each)
            elif each in inventory.groups and each not in seen:
                seen.add(each)
                todo.append(each)
    return list(members)


def _keys(
    where: str, host: str, variables: Mapping[str, Any], collected: _Collected
) -> Iterator[tuple[str, Any]]:
    """Yield the keys of hosts.yaml that the variables of a host give."""
    known = {**variables, "inventory_hostname": host}
    known["inventory_hostname_short"] = host.partition(".")[0]
    for variable, value in variables.items():
        if variable in _ARGUMENTS:
            arguments = _plain(where, variable, known)
            if len(arguments) > _MAX_ARGUMENTS:
                raise InventoryError(
                    f"{where}: {variable}: expected at most {_MAX_ARGUMENTS:,} characters"
                )
            found = read_ssh_arguments(arguments)
            has_key = found.key or not _KEYS.isdisjoint(variables)
            collected.options.update(
                {each: None for each in found.unused if each != KEY_ONLY or not has_key}
            )
            if found.jump:
                yield "jump", found.jump
                collected.jump_keys.setdefault(found.jump, {})[found.jump_key] = None
            if found.key:
                yield "identity_file", found.key
        elif variable == "ansible_connection":
            if value in _LOCAL and host != "local":
                yield "connection", "local"
        elif variable not in VARIABLES and not _MEANINGLESS.fullmatch(str(variable)):
            collected.variables.setdefault(str(variable))
    for variable, key in VARIABLES.items():
        if variable in variables:
            value = _plain(where, variable, known)
            is_number = key == "port" and value.isascii() and value.isdigit() and len(value) < 6
            yield key, int(value) if is_number else value
    own = variables.get(OWN_VARIABLE, {})
    if not isinstance(own, Mapping):
        raise InventoryError(f"{where}: {OWN_VARIABLE}: expected a mapping of keys of hosts.yaml")
    yield from own.items()


def _plain(where: str, variable: str, known: Mapping[str, Any]) -> str:
    """Return the text of a variable; ``{{ NAME }}`` in it is the text of another one."""
    text = _text(known[variable])
    if text is None:
        raise InventoryError(f"{where}: {variable}: expected text or a number")
    if text.startswith(_ENCRYPTED):
        raise InventoryError(
            f"{where}: {variable} is encrypted, which only Ansible can read",
            hint="write the value itself into the inventory, or into ~/.ssh/config",
        )
    if "{{" not in text and "{%" not in text:
        return text
    filled = _fill(text, known)
    if "{{" in filled or "{%" in filled or len(filled) > _MAX_FILLED:
        raise InventoryError(
            f"{where}: {variable} is a template, which only Ansible evaluates",
            hint="write the value itself into the inventory",
        )
    return filled


def _fill(text: str, known: Mapping[str, Any]) -> str:
    def value(found: re.Match[str]) -> str:
        inner = _text(known.get(found[1]))
        return inner if inner is not None and len(inner) <= _MAX_FILLED else found[0]

    return _TEMPLATE.sub(value, text) if len(text) <= _MAX_FILLED else text


def _text(value: Any) -> str | None:
    if isinstance(value, Mapping) and len(value) == 1:
        value = value.get(_UNSAFE, value.get(_VAULT))
    is_text = isinstance(value, (str, int)) and not isinstance(value, bool)
    return str(value) if is_text else None
