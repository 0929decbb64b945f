# SPDX-License-Identifier: Apache-2.0
"""Find jump hosts and keys in command-line options of ssh, as Ansible's inventories have them.

``-J``, ``ProxyJump`` and a ``ProxyCommand`` with ``ssh -W`` mean the same. All other options are
named, so that nothing is lost without a word; their values are not shown.
"""

from __future__ import annotations

import functools
import re
import shlex
from collections import deque
from collections.abc import Iterator, Sequence

import attrs

_TAKES_VALUE = frozenset("BbcDEeFIiJLlmOoPpQRSWw")
_OPTION = re.compile(r"\s*([A-Za-z]+)(?:\s*=|\s)")
_NEVER_MEANT = frozenset({"-q", "-T", "-x", "-a", "-n", "-4", "-6"})
"""Options that change nothing for a jump host."""


KEY_ONLY = "IdentitiesOnly"
"""The option that a key of the inventory implies."""


@attrs.frozen(kw_only=True)
class SshArguments:
    """What is used of some options of ssh."""

    jump: str | None = None
    """Jump hosts, commas between."""
    jump_key: str | None = None
    """The file with the private key for the jump host, which ``ProxyCommand`` names."""
    key: str | None = None
    """The file with the private key for the host."""
    unused: tuple[str, ...] = ()
    """The other options, such as ``-C`` or ``ForwardAgent``, without values."""


# Many hosts of an inventory have the same options.
@functools.lru_cache(maxsize=64)
def read_ssh_arguments(arguments: str) -> SshArguments:
    """Return what is used of options of ssh; all of them are unused if their quotes are wrong."""
    try:
        words = shlex.split(arguments)
    except ValueError:
        return SshArguments(unused=("options whose quotes do not match",))
    used = SshArguments()
    unused: list[str] = []
    for name, value in _options(words):
        if name == "-J" or name.lower() == "proxyjump":
            jump = value if value.lower() != "none" else None
            used = attrs.evolve(used, jump=jump or None, jump_key=None)
        elif name.lower() == "proxycommand" and (found := _jump_of_command(value)):
            used = attrs.evolve(used, jump=found.jump, jump_key=found.jump_key)
            unused += found.unused
        elif _is_key(name) and value:
            used = attrs.evolve(used, key=used.key or value)
        else:
            unused.append(name)
    return attrs.evolve(used, unused=tuple(dict.fromkeys(unused)))


def _is_key(name: str) -> bool:
    return name == "-i" or name.lower() == "identityfile"


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each option with its value; ``-o NAME=VALUE`` as NAME; another word as itself."""
    rest = deque(words)
    while rest:
        word = rest.popleft()
        if not word.startswith("-") or len(word) < 2:
            yield word, ""
            continue
        name, value = word[:2], word[2:]
        if name[1] not in _TAKES_VALUE:
            yield word, ""
            continue
        value = value or (rest.popleft() if rest else "")
        option = _OPTION.match(value) if name == "-o" else None
        yield (option[1], value[option.end() :].strip()) if option else (name, value)


def _jump_of_command(command: str) -> SshArguments | None:
    """Return what ``ssh -W %h:%p HOST`` says about the jump host; ``None``: another command."""
    try:
        program, *words = shlex.split(command)
    except ValueError:
        return None
    if program.rpartition("/")[2] != "ssh":
        return None
    user = port = host = key = None
    forwards = False
    unused = []
    for name, value in _options(words):
        if name == "-W":
            forwards = value in {"%h:%p", "[%h]:%p"}
        elif name == "-p" or name.lower() == "port":
            port = value
        elif name == "-l" or name.lower() == "user":
            user = value
        elif _is_key(name) and value:
            key = key or value
        elif not name.startswith("-") and not value and host is None:
            host = name
        elif name not in _NEVER_MEANT:
            unused.append(f"{name} of ProxyCommand")
    if not forwards or host is None:
        return None
    at = f"{user}@" if user and "@" not in host else ""
    jump = f"{at}{host}{f':{port}' if port else ''}"
    if key:
        unused = [each for each in unused if not each.startswith(KEY_ONLY)]
    return SshArguments(jump=jump, jump_key=key, unused=tuple(unused))
