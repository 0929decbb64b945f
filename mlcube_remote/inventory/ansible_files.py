# SPDX-License-Identifier: Apache-2.0
"""Read the INI and YAML files of Ansible, for machines without ``ansible-inventory``.

These files have groups, with hosts, variables and groups inside. What needs Ansible's plugins,
templates or the directories ``group_vars`` and ``host_vars`` is not read here.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import attrs

from mlcube_remote.budgets import Budget, OverBudgetError, parse_json
from mlcube_remote.errors import InventoryError
from mlcube_remote.inventory.ansible import AnsibleInventory
from mlcube_remote.yamlsource import YamlDocument, shown_path

MAX_HOSTS = 20_000
"""Number of hosts in one file; ranges can multiply to many more."""

MAX_VARIABLES = 500_000
"""Number of variables of all hosts; each group repeats its own for each of its hosts."""

_SECTION = re.compile(r"\[([^\[\]:\s]+)(?::(vars|children))?\]\s*(?:#.*)?")
_HOST_LINE = re.compile(r"[^\s:=]+(?:\[[^\]]*\][^\s=]*)*(?::\d+)?(?:\s+[\w.]+\s*=.*)?")
_RANGE = re.compile(r"\[([0-9]{1,9}|[A-Za-z]):([0-9]{1,9}|[A-Za-z])(?::([0-9]{1,4}))?\]", re.ASCII)
_PORT = re.compile(r"(\S+):([0-9]{1,5})", re.ASCII)
_TAG = re.compile(r"(?<=[:-] )!(?:vault|vault-encrypted|unsafe)(?=\s)")
_GROUP_KEYS = frozenset({"hosts", "children", "vars"})
_ESCAPED = re.compile(r"\\(['\"\\])")
_CONSTANTS = {"True": True, "true": True, "False": False, "false": False, "None": None}


@attrs.define
class _Group:
    hosts: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    children: dict[str, None] = attrs.field(factory=dict)
    variables: dict[str, Any] = attrs.field(factory=dict)


@attrs.define
class _Groups:
    """The groups of one file, as far as they are read."""

    name: str
    """The file, for messages."""
    groups: dict[str, _Group] = attrs.field(factory=dict)
    lines: dict[str, int] = attrs.field(factory=dict)
    count: Budget = attrs.field(factory=lambda: Budget(MAX_HOSTS, "hosts"))
    variables: Budget = attrs.field(factory=lambda: Budget(MAX_VARIABLES, "variables of hosts"))

    def fail(self, line: int | None, problem: str) -> NoReturn:
        place = self.name if line is None else f"{self.name}:{line}"
        raise InventoryError(
            f"{place}: {problem}",
            hint="if Ansible accepts it, install ansible-core: its ansible-inventory is then asked",
        )

    def group(self, name: str) -> _Group:
        return self.groups.setdefault(name, _Group())

    def add(self, group: str, pattern: str, variables: Mapping[str, Any], line: int | None) -> None:
        """Add the hosts that a pattern means to a group."""
        # More than one colon outside of ranges is an address of IPv6.
        has_one_colon = _RANGE.sub("", pattern).count(":") == 1
        if (found := _PORT.fullmatch(pattern)) and (has_one_colon or found[1].endswith("]")):
            pattern, variables = found[1], {**variables, "ansible_port": int(found[2])}
        try:
            for host in _expand(pattern, self.count):
                self.group(group).hosts.setdefault(host, {}).update(variables)
                if line is not None:
                    self.lines.setdefault(host, line)
        except (ValueError, OverBudgetError) as problem:
            self.fail(line, str(problem))

    def resolve(self) -> AnsibleInventory:
        """Return all hosts with the variables of their groups: an inner group takes precedence."""
        hosts: dict[str, dict[str, Any]] = {}
        for group in self.groups.values():
            hosts.update({host: {} for host in group.hosts if host not in hosts})
        own: dict[str, dict[str, Any]] = {}
        try:
            for variables in hosts.values():
                self._give("all", variables)
            for name in self._outer_first():
                for host in self._members(name):
                    self._give(name, hosts[host])
        except OverBudgetError as problem:
            self.fail(None, str(problem))
        for group in self.groups.values():
            for host, variables in group.hosts.items():
                own.setdefault(host, {}).update(variables)
        for host, variables in own.items():
            hosts[host].update(variables)
        groups = {name: (*group.hosts, *group.children) for name, group in self.groups.items()}
        return AnsibleInventory(hosts=hosts, groups=groups, lines=self.lines)

    def _give(self, name: str, variables: dict[str, Any]) -> None:
        """Give a host the variables of a group."""
        given = self.groups[name].variables if name in self.groups else {}
        self.variables.spend(1 + len(given))
        variables.update(given)

    def _outer_first(self) -> list[str]:
        """Return the names of all groups but ``all``: by depth, then by name, as Ansible does."""
        parents = dict.fromkeys(self.groups, 0)
        for group in self.groups.values():
            for child in group.children:
                parents[child] += 1
        depths = dict.fromkeys(self.groups, 0)
        todo = [name for name, count in parents.items() if count == 0]
        for name in todo:
            for child in self.groups[name].children:
                depths[child] = max(depths[child], depths[name] + 1)
                parents[child] -= 1
                if parents[child] == 0:
                    todo.append(child)
        if len(todo) < len(self.groups):
            self.fail(None, "groups contain each other")
        return sorted((name for name in todo if name != "all"), key=lambda it: (depths[it], it))

    def _members(self, name: str) -> Iterator[str]:
        """Yield the hosts of a group and of the groups inside it, each once."""
        groups, hosts = {name: None}, dict.fromkeys(self.groups[name].hosts)
        todo = [name]
        for each in todo:
            self.variables.spend(1 + len(self.groups[each].hosts))
            hosts.update(dict.fromkeys(self.groups[each].hosts))
            fresh = [child for child in self.groups[each].children if child not in groups]
            groups.update(dict.fromkeys(fresh))
            todo += fresh
        yield from hosts


def looks_like_ini(text: str) -> bool:
    """Return whether the first lines of a text have the form of Ansible's INI files."""
    for raw in text.splitlines()[:100]:
        line = raw.strip()
        if line and line[0] not in "#;":
            return bool(_SECTION.fullmatch(line)) or (
                _HOST_LINE.fullmatch(line) is not None and not line.endswith(":")
            )
    return False


def without_tags(text: str) -> str:
    """Return YAML with blanks instead of Ansible's tags: an encrypted text is then a plain one."""
    return _TAG.sub(lambda tag: " " * len(tag[0]), text)


def is_ansible_yaml(document: YamlDocument, own_keys: tuple[str, ...]) -> bool:
    """Return whether YAML has the form of Ansible's: groups, with hosts, children and vars."""
    top = document.data
    return (
        isinstance(top, Mapping)
        and bool(top)
        and not any(key in own_keys for key in top)
        and all(
            given is None or (isinstance(given, Mapping) and given.keys() <= _GROUP_KEYS)
            for given in top.values()
        )
    )


def read_ini(text: str, path: Path) -> AnsibleInventory:
    """Read an INI file.

    Raises:
        InventoryError: A line has another form; the message names it.
    """
    found = _Groups(shown_path(path))
    group, kind = "ungrouped", "hosts"
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if line.startswith("[") and (section := _SECTION.fullmatch(line)):
            group, kind = section[1], section[2] or "hosts"
            found.group(group)
        elif kind == "children":
            child = line.partition("#")[0].strip()
            found.group(group).children[child] = None
            found.group(child)
        elif kind == "vars":
            name, equals, value = line.partition("=")
            if not equals:
                found.fail(number, f"expected NAME=VALUE, got {line[:80]!r}")
            found.group(group).variables[name.strip()] = _value(value.strip())
        else:
            _read_host_line(found, group, line, number)
    return found.resolve()


def _read_host_line(found: _Groups, group: str, line: str, number: int) -> None:
    try:
        pattern, *words = shlex.split(line, comments=True)
    except ValueError as problem:
        found.fail(number, f"quotes do not match: {problem}")
    variables = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            # It may be a password with a space in it, so it is not shown.
            found.fail(
                number, "expected NAME=VALUE after the host; put a value with spaces in quotes"
            )
        variables[name] = _value(value)
    found.add(group, pattern, variables, number)


def _value(text: str) -> Any:
    """Return the value of a variable: Ansible reads it as Python does, if that is possible."""
    if re.fullmatch(r"-?[0-9]{1,15}", text, re.ASCII):
        return int(text)
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return _ESCAPED.sub(r"\1", text[1:-1])
    if text.startswith(("{", "[")):
        try:
            return parse_json(text.replace("'", '"'))
        except ValueError:
            return text
    return _CONSTANTS.get(text, text)


def read_yaml(document: YamlDocument) -> AnsibleInventory:
    """Read a YAML file for which :func:`is_ansible_yaml` is true.

    Raises:
        InventoryError: A group has another form; the message names its line.
    """
    found = _Groups(shown_path(document.path))
    todo: list[tuple[tuple[Any, ...], str, Any]] = [
        ((name,), str(name), given) for name, given in document.data.items()
    ]
    for path, name, given in todo:
        group = found.group(name)
        line = document.position(path).line
        parts = given if given is not None else {}
        if not isinstance(parts, Mapping) or not parts.keys() <= _GROUP_KEYS:
            found.fail(line, f"{name}: expected a group with hosts, children and vars")
        for key, part in parts.items():
            if part is not None and not isinstance(part, Mapping):
                found.fail(
                    document.position((*path, key)).line, f"{name}: {key}: expected a mapping"
                )
        group.variables.update(parts.get("vars") or {})
        for host, variables in (parts.get("hosts") or {}).items():
            at = document.position((*path, "hosts", host)).line
            if variables is not None and not isinstance(variables, Mapping):
                found.fail(at, f"{host}: expected a mapping of variables")
            found.add(name, str(host), variables or {}, at)
        for child, inner in (parts.get("children") or {}).items():
            group.children[str(child)] = None
            found.group(str(child))
            todo.append(((*path, "children", child), str(child), inner))
    return found.resolve()


def _expand(pattern: str, count: Budget) -> Iterator[str]:
    """Yield the hosts that a pattern means; ``[01:10:2]`` and ``[a:f]`` are ranges.

    Raises:
        ValueError: A range is empty, or the pattern is an IPv6 address: it can name no host.
        OverBudgetError: There are too many hosts.
    """
    if _RANGE.sub("", pattern).count(":") > 1:
        address = pattern.removeprefix("[").partition("]")[0]
        raise ValueError(
            f"expected the name of a host, got the address {pattern[:80]!r}; "
            f"write NAME ansible_host={address[:80]}"
        )
    names = [""]
    at = 0
    for found in _RANGE.finditer(pattern):
        choices = _choices(found[1], found[2], int(found[3] or 1))
        count.spend(len(names) * len(choices))
        head = pattern[at : found.start()]
        names = [f"{name}{head}{choice}" for name in names for choice in choices]
        at = found.end()
    count.spend(1)
    for name in names:
        host = name + pattern[at:]
        if "[" in host or "]" in host:
            raise ValueError(
                f"expected a host, or a range such as web[01:10], got {pattern[:80]!r}"
            )
        yield host


def _choices(first: str, last: str, step: int) -> list[str]:
    if first.isdigit() != last.isdigit() or step == 0:
        raise ValueError(f"expected a range such as [01:10], got [{first}:{last}]")
    if first.isdigit():
        width = len(first) if first.startswith("0") else 0
        if int(last) - int(first) > MAX_HOSTS * step:
            raise ValueError(f"the range [{first}:{last}] has more than {MAX_HOSTS:,} hosts")
        choices = [f"{number:0{width}d}" for number in range(int(first), int(last) + 1, step)]
    else:
        choices = [chr(code) for code in range(ord(first), ord(last) + 1, step)]
    if not choices:
        raise ValueError(f"the range [{first}:{last}] is empty")
    return choices
