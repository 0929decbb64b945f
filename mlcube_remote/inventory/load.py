# SPDX-License-Identifier: Apache-2.0
"""Read ``hosts.yaml``: expand ranges, apply defaults, report each mistake with its line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

import attrs

from mlcube_remote import yamlsource
from mlcube_remote.budgets import Budget, OverBudgetError
from mlcube_remote.errors import InventoryError
from mlcube_remote.inventory.endpoint import parse_destination
from mlcube_remote.inventory.host_fields import (
    CHECKS,
    MAX_NAME_LENGTH,
    NAME,
    NO_SECRETS,
    describe,
    describe_keys,
    is_secret_key,
)
from mlcube_remote.inventory.host_ranges import expand, is_range, split_commas
from mlcube_remote.inventory.model import LOCAL_HOST, ConnectionKind, Host, Inventory
from mlcube_remote.inventory.paths import describe_special_file, expand_home
from mlcube_remote.platforms import PLATFORMS, SETTINGS, check_setting
from mlcube_remote.suggestions import did_you_mean
from mlcube_remote.yamlsource import Key, YamlDocument

ALL = "all"
"""The group of all hosts of the file, which always exists."""

MAX_HOSTS = 20_000
"""Number of hosts in one file; ranges can multiply to many more."""

MAX_GROUP_DEPTH = 50
"""Levels of groups inside groups."""

MAX_HOST_VALUES = 500_000
"""Number of values of all hosts; a range of hosts repeats those of its entry."""

MAX_MEMBERS = 1_000_000
"""Number of members of all groups; groups inside groups can multiply to many more."""

TOP_KEYS = ("defaults", "hosts", "groups")

# YAML 1.1 reads 022 as 18 and 12:30 as 750.
_MISREAD_NUMBER = re.compile(r"[-+]?0[0-7_]+|[-+]?\d[\d_]*:[\d:._]+")


def load(path: Path) -> Inventory:
    """Read an inventory file.

    Raises:
        InventoryError: The file is missing or wrong; the message names line, column and key.
    """
    return read(yamlsource.load(path, error=InventoryError))


def empty() -> Inventory:
    """Return the inventory of a user without a file: only ``local``."""
    return Inventory(hosts=MappingProxyType({"local": LOCAL_HOST}), groups=MappingProxyType({}))


def read(document: YamlDocument) -> Inventory:
    """Return the inventory in a YAML document; errors are those of :func:`load`."""
    file = _File(document)
    if document.data is None:
        file.fail((), "the file is empty; expected hosts:", "add hosts, or delete the file")
    top = file.mapping((), document.data)
    for key in top:
        if key not in TOP_KEYS:
            file.reject_unknown_key((key,), "", key, TOP_KEYS)
    reader = _HostReader(file)
    defaults = reader.host(("defaults",), "defaults", top.get("defaults"), Host(name="defaults"))
    hosts = reader.hosts(top.get("hosts"), defaults)
    groups = _GroupReader(file, hosts, file.mapping(("groups",), top.get("groups"))).groups()
    return Inventory(
        hosts=MappingProxyType(hosts),
        groups=MappingProxyType(groups),
        path=document.path,
        defaults=defaults,
    )


@attrs.frozen
class _File:
    document: YamlDocument
    values: Budget = attrs.field(factory=lambda: Budget(MAX_HOST_VALUES, "values of hosts"))
    members: Budget = attrs.field(factory=lambda: Budget(MAX_MEMBERS, "members of groups"))

    def spend(self, path: Iterable[Key], budget: Budget, count: int) -> None:
        """Count values of hosts or members of groups, before they are made."""
        try:
            budget.spend(count)
        except OverBudgetError as problem:
            self.fail(path, str(problem))

    def fail(self, path: Iterable[Key], problem: str, hint: str | None = None) -> NoReturn:
        raise InventoryError(f"{self.document.where(path)}: {problem}", hint=hint)

    def mapping(self, path: tuple[Key, ...], value: Any) -> Mapping[Any, Any]:
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            label = f"{path[-1]}: " if path else ""
            self.fail(path, f"{label}expected a mapping, got {describe(value)}")
        return value

    def reject_unknown_key(
        self, path: tuple[Key, ...], owner: str, key: Key, known: Iterable[str]
    ) -> NoReturn:
        names = tuple(known)
        near = did_you_mean(key, names)
        problem = f"{f'{owner}: ' if owner else ''}unknown key '{key}'{near}"
        self.fail(path, problem, None if near else describe_keys(key, names))


@attrs.frozen
class _HostReader:
    file: _File

    def hosts(self, section: Any, defaults: Host) -> dict[str, Host]:
        hosts: dict[str, Host] = {}
        for key, given in self.file.mapping(("hosts",), section).items():
            path = ("hosts", key)
            names = self.names(path, key)
            addresses = self.addresses(path, given, names)
            for index, name in enumerate(names):
                if name in hosts:
                    first = hosts[name].source
                    self.file.fail(path, f"host '{name}' is defined twice (first at {first})")
                if name == ALL:
                    self.file.fail(path, f"'{ALL}' means all hosts and cannot be a host's name")
                own = {**given, "address": addresses[index]} if addresses else given
                base = attrs.evolve(LOCAL_HOST if name == "local" else defaults, name=name)
                hosts[name] = self.host(path, name, own, base)
                if len(hosts) > MAX_HOSTS:
                    self.file.fail(path, f"more than {MAX_HOSTS:,} hosts")
        hosts.setdefault("local", LOCAL_HOST)
        return hosts

    def names(self, path: tuple[Key, ...], key: Key) -> tuple[str, ...]:
        if not isinstance(key, str):
            self.file.fail(path, f"expected a host's name, got {describe(key)}; put it in quotes")
        try:
            names = expand(key)
        except ValueError as problem:
            self.file.fail(path, str(problem))
        for name in names:
            if not NAME.fullmatch(name):
                self.file.fail(
                    path,
                    f"expected a host's name of letters, digits, '.', '_' and '-', got {name!r}",
                )
            if len(name) > MAX_NAME_LENGTH:
                self.file.fail(
                    path, f"expected a host's name of at most {MAX_NAME_LENGTH} characters"
                )
        return names

    def addresses(
        self, path: tuple[Key, ...], given: Any, names: tuple[str, ...]
    ) -> tuple[str, ...] | None:
        """Return one address for each name, if the address is a range, too."""
        address = given.get("address") if isinstance(given, Mapping) else None
        if not isinstance(address, str) or not is_range(address):
            return None
        path, label = (*path, "address"), f"{path[-1]}: address"
        try:
            addresses = expand(address)
        except ValueError as problem:
            self.file.fail(path, f"{label}: {problem}")
        if len(addresses) != len(names):
            self.file.fail(path, f"{label}: {len(addresses)} addresses for {len(names)} hosts")
        return addresses

    def host(self, path: tuple[Key, ...], name: str, given: Any, base: Host) -> Host:
        """Return a host whose given keys replace those of ``base``."""
        values: dict[str, Any] = {}
        settings = {section: dict(entries) for section, entries in base.settings.items()}
        for key, value in self.file.mapping(path, given).items():
            inner = (*path, key)
            self.file.spend(inner, self.file.values, _count(value))
            if is_secret_key(key):
                self.file.fail(inner, f"{name}: {key}: {NO_SECRETS}")
            if key in PLATFORMS:
                settings.setdefault(key, {}).update(self.section(inner, name, key, value))
            elif key in CHECKS:
                values[key] = self.value(inner, name, key, value)
            else:
                self.file.reject_unknown_key(inner, name, key, (*CHECKS, *PLATFORMS))
        if name == "local" and values.get("connection", ConnectionKind.LOCAL) != base.connection:
            self.file.fail(
                (*path, "connection"), "local: is always this machine; give the host another name"
            )
        if "jump" not in values:
            values["jump"] = _hops_before(base.jump, name)
        for merged in ("labels", "env", "slurm"):
            if merged in values:
                values[merged] = MappingProxyType({**getattr(base, merged), **values[merged]})
        frozen = {section: MappingProxyType(entries) for section, entries in settings.items()}
        return attrs.evolve(
            base,
            settings=MappingProxyType(frozen),
            source=self.file.document.where(path),
            **values,
        )

    def value(self, path: tuple[Key, ...], name: str, key: str, value: Any) -> Any:
        """Return the checked value of one key."""
        written = self.file.document.written.get(path, "")
        if _MISREAD_NUMBER.fullmatch(written):
            self.file.fail(
                path,
                f"{name}: {key}: YAML reads {written} as {value}; write a plain number, "
                "or text in quotes",
            )
        try:
            checked = CHECKS[key](self.as_written(path, value))
        except ValueError as problem:
            self.file.fail(path, f"{name}: {key}: {problem}")
        if key in {"identity_file", "known_hosts"}:
            checked = _relative_to_file(checked, self.file.document.path.parent)
        if key == "known_hosts" and (kind := describe_special_file(expand_home(checked))):
            self.file.fail(
                path, f"{name}: {key}: expected a file that keeps host keys, {value!r} is {kind}"
            )
        return checked

    def as_written(self, path: tuple[Key, ...], value: Any) -> Any:
        """Return a mapping with its values as in the file: 1.10 instead of 1.1."""
        if not isinstance(value, Mapping) or path[-1] not in {"labels", "env", "slurm"}:
            return value
        kept = str if path[-1] == "labels" else (str, bool, list)
        return {
            key: item
            if item is None or isinstance(item, kept)
            else self.file.document.written.get((*path, key), item)
            for key, item in value.items()
        }

    def section(
        self, path: tuple[Key, ...], name: str, section: str, value: Any
    ) -> Mapping[str, Any]:
        """Return the checked settings of one platform."""
        entries = self.file.mapping(path, value)
        for key, setting in entries.items():
            inner = (*path, key)
            if key not in SETTINGS[section]:
                self.file.reject_unknown_key(inner, f"{name}: {section}", key, SETTINGS[section])
            if problem := check_setting(section, key, setting):
                self.file.fail(inner, f"{name}: {section}.{key}: {problem}")
        return entries


@attrs.frozen
class _GroupReader:
    file: _File
    hosts: Mapping[str, Host]
    given: Mapping[Any, Any]
    _resolved: dict[str, tuple[str, ...]] = attrs.field(factory=dict, init=False)

    def groups(self) -> dict[str, tuple[str, ...]]:
        """Return the hosts of each group, in the order of the file."""
        members = {name: self.members(name, value) for name, value in self.given.items()}
        return {name: self.resolve(name, members, ()) for name in members}

    def resolve(
        self, name: str, members: Mapping[str, tuple[str, ...]], above: tuple[str, ...]
    ) -> tuple[str, ...]:
        """Return the hosts of a group and of the groups inside it."""
        if name in above:
            cycle = " → ".join((*above[above.index(name) :], name))
            self.file.fail(("groups", name), f"groups contain each other: {cycle}")
        if len(above) > MAX_GROUP_DEPTH:
            self.file.fail(
                ("groups", name), f"groups nested more than {MAX_GROUP_DEPTH} levels deep"
            )
        if name not in self._resolved:
            hosts: dict[str, None] = {}
            for member in members[name]:
                inner = (
                    (member,)
                    if member in self.hosts
                    else self.resolve(member, members, (*above, name))
                )
                self.file.spend(("groups", name), self.file.members, len(inner))
                hosts.update(dict.fromkeys(inner))
            self._resolved[name] = tuple(hosts)
        return self._resolved[name]

    def members(self, group: Key, value: Any) -> tuple[str, ...]:
        """Return the names of the hosts and groups directly in a group."""
        path = ("groups", group)
        if not isinstance(group, str) or not NAME.fullmatch(group):
            self.file.fail(path, f"expected a group's name, got {group!r}")
        if group == ALL:
            self.file.fail(path, f"'{ALL}' means all hosts and cannot be defined as a group")
        if group in self.hosts:
            where = self.hosts[group].source or "it always exists"
            self.file.fail(path, f"'{group}' is already a host ({where})")
        names: list[str] = []
        for index, item in enumerate(value if isinstance(value, list) else [value]):
            inner = (*path, index) if isinstance(value, list) else path
            if not isinstance(item, str):
                self.file.fail(inner, f"{group}: expected hosts or groups, got {describe(item)}")
            for part in split_commas(item):
                expanded = self.expand(inner, group, part)
                self.file.spend(inner, self.file.members, len(expanded))
                names += expanded
        return tuple(names)

    def expand(self, path: tuple[Key, ...], group: str, part: str) -> tuple[str, ...]:
        """Return the names that one range means; each must be a host or a group."""
        try:
            names = expand(part)
        except ValueError as problem:
            self.file.fail(path, f"{group}: {problem}")
        for name in names:
            if name not in self.hosts and name not in self.given:
                suggestion = did_you_mean(name, (*self.hosts, *self.given))
                self.file.fail(path, f"{group}: unknown host or group '{name}'{suggestion}")
        return names


def _relative_to_file(value: Any, directory: Path) -> Any:
    """Return paths relative to the inventory's directory, instead of the working directory."""
    if isinstance(value, tuple):
        return tuple(_relative_to_file(each, directory) for each in value)
    return value if value.startswith(("/", "~", "%", "$")) else os.path.abspath(directory / value)


def _count(value: Any) -> int:
    """Return the number of values in a value, as far as it can be one of a host's keys."""
    return len(value) + 1 if isinstance(value, (Mapping, list)) else 1


def _hops_before(jump: str | None, name: str) -> str | None:
    """Return the default jump hosts of a host: if it is one of them, only those before it."""
    hops = jump.split(",") if jump else []
    for index, hop in enumerate(hops):
        if parse_destination(hop.strip()).host == name:
            return ",".join(hops[:index]) or None
    return jump
