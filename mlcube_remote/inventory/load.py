# SPDX-License-Identifier: Apache-2.0
"""Reading ``hosts.yaml``: ranges expanded, defaults applied, every mistake named with its line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

import attrs

from mlcube_remote import yamlsource
from mlcube_remote.errors import InventoryError
from mlcube_remote.inventory import host_fields
from mlcube_remote.inventory.host_ranges import expand, is_range, split_commas
from mlcube_remote.inventory.model import LOCAL_HOST, ConnectionKind, Host, Inventory
from mlcube_remote.platforms import PLATFORMS, SETTINGS, check_setting
from mlcube_remote.yamlsource import Document, Key, nearest

ALL = "all"
"""The group that always exists: every host of the file."""

MAX_HOSTS = 20_000
"""Hosts that one file may have; ranges multiply quickly."""

MAX_GROUP_DEPTH = 50
"""Groups in groups in groups."""

_TOP = ("defaults", "hosts", "groups")

# YAML 1.1 takes 022 for eighteen and 12:30 for seven hundred and fifty.
_MISREAD = re.compile(r"[-+]?0[0-7_]+|[-+]?\d[\d_]*:[\d:._]+")


def load(path: Path) -> Inventory:
    """Read an inventory.

    Raises:
        InventoryError: The file is missing or wrong; the message names line, column and key.
    """
    return _Reader(yamlsource.load(path, error=InventoryError)).inventory()


def empty() -> Inventory:
    """Return the inventory of somebody who has none: only ``local``."""
    return Inventory(hosts=MappingProxyType({"local": LOCAL_HOST}), groups=MappingProxyType({}))


@attrs.frozen
class _Reader:
    document: Document

    def fail(self, path: Iterable[Key], problem: str, hint: str | None = None) -> NoReturn:
        raise InventoryError(f"{self.document.where(path)}: {problem}", hint=hint)

    def inventory(self) -> Inventory:
        if self.document.data is None:
            self.fail((), "the file is empty; expected hosts:", "list hosts, or remove the file")
        top = self.mapping((), self.document.data)
        for key in top:
            if key not in _TOP:
                self.unknown((key,), "", key, _TOP)
        defaults = self.host(("defaults",), "defaults", top.get("defaults"), Host(name="defaults"))
        hosts = self.hosts(top, defaults)
        groups = self.groups(self.mapping(("groups",), top.get("groups")), hosts)
        return Inventory(
            hosts=MappingProxyType(hosts),
            groups=MappingProxyType(groups),
            path=self.document.path,
            defaults=defaults,
        )

    def mapping(self, path: tuple[Key, ...], value: Any) -> Mapping[Any, Any]:
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            where = f"{path[-1]}: " if path else ""
            self.fail(path, f"{where}expected a mapping, got {host_fields.shown(value)}")
        return value

    def unknown(
        self, path: tuple[Key, ...], owner: str, key: Key, known: Iterable[str]
    ) -> NoReturn:
        names = tuple(known)
        meant = nearest(str(key), names)
        suffix = f" (did you mean '{meant}'?)" if meant else f" (expected: {', '.join(names)})"
        prefix = f"{owner}: " if owner else ""
        self.fail(path, f"{prefix}unknown key '{key}'{suffix}")

    def hosts(self, top: Mapping[Any, Any], defaults: Host) -> dict[str, Host]:
        result: dict[str, Host] = {}
        for written, given in self.mapping(("hosts",), top.get("hosts")).items():
            path = ("hosts", written)
            names = self.names(path, written)
            addresses = self.addresses(path, given, names)
            for index, name in enumerate(names):
                if name in result:
                    first = result[name].source
                    self.fail(path, f"host '{name}' is there twice (first at {first})")
                if name == ALL:
                    self.fail(path, f"'{ALL}' stands for every host and cannot name one")
                own = {**given, "address": addresses[index]} if addresses else given
                base = attrs.evolve(LOCAL_HOST if name == "local" else defaults, name=name)
                result[name] = self.host(path, name, own, base)
                if len(result) > MAX_HOSTS:
                    self.fail(path, f"more than {MAX_HOSTS:,} hosts")
        result.setdefault("local", LOCAL_HOST)
        return result

    def names(self, path: tuple[Key, ...], written: Key) -> tuple[str, ...]:
        if not isinstance(written, str):
            self.fail(
                path, f"expected a host's name, got {host_fields.shown(written)}; put it in quotes"
            )
        try:
            names = expand(written)
        except ValueError as problem:
            self.fail(path, str(problem))
        for name in names:
            if not host_fields.NAME.fullmatch(name):
                self.fail(
                    path,
                    f"expected a host's name of letters, digits, '.', '_' and '-', got {name!r}",
                )
            if len(name) > host_fields.NAME_LENGTH:
                self.fail(
                    path, f"expected a host's name of at most {host_fields.NAME_LENGTH} characters"
                )
        return names

    def addresses(
        self, path: tuple[Key, ...], given: Any, names: tuple[str, ...]
    ) -> tuple[str, ...] | None:
        """Return one address per name when the address, too, is a range."""
        address = given.get("address") if isinstance(given, Mapping) else None
        if not isinstance(address, str) or not is_range(address):
            return None
        try:
            every = expand(address)
        except ValueError as problem:
            self.fail((*path, "address"), f"{path[-1]}: address: {problem}")
        if len(every) != len(names):
            self.fail(
                (*path, "address"),
                f"{path[-1]}: address: {len(every)} addresses for {len(names)} hosts",
            )
        return every

    def host(self, path: tuple[Key, ...], name: str, given: Any, base: Host) -> Host:
        values: dict[str, Any] = {}
        settings = {section: dict(entries) for section, entries in base.settings.items()}
        for key, value in self.mapping(path, given).items():
            here = (*path, key)
            if host_fields.asks_for_a_secret(key):
                self.fail(here, f"{name}: {key}: {host_fields.NO_SECRETS}")
            if key in PLATFORMS:
                settings.setdefault(key, {}).update(self.section(here, name, key, value))
                continue
            if key not in host_fields.CHECKS:
                self.unknown(here, name, key, (*host_fields.CHECKS, *PLATFORMS))
            self.refuse_misread(here, f"{name}: {key}")
            try:
                values[key] = host_fields.CHECKS[key](self.as_written(here, value))
            except ValueError as problem:
                self.fail(here, f"{name}: {key}: {problem}")
        if name == "local" and values.get("connection", ConnectionKind.LOCAL) != base.connection:
            self.fail(
                (*path, "connection"), "local: is always this machine; name the host otherwise"
            )
        for file in ("identity_file", "known_hosts"):
            if file in values:
                values[file] = self.beside(values[file])
        if "jump" not in values:
            values["jump"] = _without_itself(base.jump, name)
        for merged in ("labels", "env"):
            if merged in values:
                values[merged] = MappingProxyType({**getattr(base, merged), **values[merged]})
        frozen = {section: MappingProxyType(entries) for section, entries in settings.items()}
        return attrs.evolve(
            base,
            settings=MappingProxyType(frozen),
            source=self.document.where(path),
            **values,
        )

    def refuse_misread(self, path: tuple[Key, ...], owner: str) -> None:
        text = self.document.written.get(path, "")
        if _MISREAD.fullmatch(text):
            self.fail(
                path,
                f"{owner}: YAML reads {text} otherwise than it looks; "
                "write a plain number, or text in quotes",
            )

    def as_written(self, path: tuple[Key, ...], value: Any) -> Any:
        """Return the values of a mapping as they stand in the file: 1.10 is not 1.1."""
        if not isinstance(value, Mapping) or path[-1] not in {"labels", "env"}:
            return value
        kept = (str, bool) if path[-1] == "env" else str
        return {
            key: item
            if item is None or isinstance(item, kept)
            else self.document.written.get((*path, key), item)
            for key, item in value.items()
        }

    def beside(self, value: Any) -> Any:
        """Return relative paths as paths beside the inventory, wherever the command runs."""
        if isinstance(value, tuple):
            return tuple(self.beside(each) for each in value)
        if value.startswith(("/", "~", "%", "$")):
            return value
        return os.path.abspath(self.document.path.parent / value)

    def section(
        self, path: tuple[Key, ...], name: str, section: str, value: Any
    ) -> Mapping[str, Any]:
        entries = self.mapping(path, value)
        for key, setting in entries.items():
            here = (*path, key)
            if key not in SETTINGS[section]:
                self.unknown(here, f"{name}: {section}", key, SETTINGS[section])
            if problem := check_setting(section, key, setting):
                self.fail(here, f"{name}: {section}.{key}: {problem}")
        return entries

    def groups(
        self, given: Mapping[Any, Any], hosts: Mapping[str, Host]
    ) -> dict[str, tuple[str, ...]]:
        members = {
            name: self.members(("groups", name), name, value, hosts, given)
            for name, value in given.items()
        }
        result: dict[str, tuple[str, ...]] = {}

        def resolve(name: str, above: tuple[str, ...]) -> tuple[str, ...]:
            if name in above:
                cycle = " → ".join((*above[above.index(name) :], name))
                self.fail(("groups", name), f"groups contain each other: {cycle}")
            if len(above) > MAX_GROUP_DEPTH:
                self.fail(("groups", name), f"groups nested more than {MAX_GROUP_DEPTH} deep")
            if name not in result:
                every = (
                    (member,) if member in hosts else resolve(member, (*above, name))
                    for member in members[name]
                )
                result[name] = tuple(dict.fromkeys(host for each in every for host in each))
            return result[name]

        for name in members:
            resolve(name, ())
        return {name: result[name] for name in members}

    def members(
        self,
        path: tuple[Key, ...],
        group: Key,
        value: Any,
        hosts: Mapping[str, Host],
        groups: Mapping[Any, Any],
    ) -> tuple[str, ...]:
        if not isinstance(group, str) or not host_fields.NAME.fullmatch(group):
            self.fail(path, f"expected a group's name, got {group!r}")
        if group == ALL:
            self.fail(path, f"'{ALL}' stands for every host and cannot be defined")
        if group in hosts:
            where = hosts[group].source or "it always exists"
            self.fail(path, f"'{group}' is a host already ({where})")
        items = value if isinstance(value, list) else [value]
        result: list[str] = []
        for index, item in enumerate(items):
            here = (*path, index) if isinstance(value, list) else path
            if not isinstance(item, str):
                self.fail(here, f"{group}: expected hosts or groups, got {host_fields.shown(item)}")
            for part in split_commas(item):
                try:
                    names = expand(part)
                except ValueError as problem:
                    self.fail(here, f"{group}: {problem}")
                for name in names:
                    if name not in hosts and name not in groups:
                        meant = nearest(name, (*hosts, *groups))
                        suffix = f" (did you mean '{meant}'?)" if meant else ""
                        self.fail(here, f"{group}: unknown host or group '{name}'{suffix}")
                    result.append(name)
        return tuple(result)


def _without_itself(jump: str | None, name: str) -> str | None:
    """Return the hops of ``defaults`` for one of those hops: the ones that come before it."""
    before: list[str] = []
    for hop in (jump or "").split(","):
        if re.fullmatch(rf"(?:.*@)?{re.escape(name)}(?::\d+)?", hop.strip()):
            return ",".join(before) or None
        before.append(hop)
    return jump
