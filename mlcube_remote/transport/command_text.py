# SPDX-License-Identifier: Apache-2.0
"""A call of the shell library as the command of a session, for a call that reads what a user types.

The login shell parses the command, and it may be Bash, csh, fish or another one. The text contains
only what all of them take literally in single quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from mlcube_remote.remote import definitions
from mlcube_remote.transport import framing
from mlcube_remote.transport.quoting import render_call

_SPECIAL = re.compile(rb"[^ -~]|[!\"$'\\`]")
"""Bytes with a meaning in the quotes of some shell, and those that are not printable ASCII."""


def render_script(
    function: str, args: Iterable[str], env: Mapping[str, str] | None = None
) -> bytes:
    """Return shell text that makes a call in a new shell, with the shell's standard streams.

    Raises:
        ValueError: The function has an invalid name, or an argument contains NUL.
    """
    words = [function, *args]
    functions = "".join(definitions(words).values()).encode()
    return framing.SETTINGS + functions + render_call(function, words[1:], env)


def render_command(function: str, args: Iterable[str]) -> str:
    """Return the command of a session that makes a call.

    Raises:
        ValueError: As for :func:`render_script`.
    """
    return f"exec /bin/sh -c '{render_line(function, args)}'"


def render_line(function: str, args: Iterable[str]) -> str:
    """Return shell text that makes a call, in one line and without its newline.

    Raises:
        ValueError: As for :func:`render_script`.
    """
    text = render_script(function, args) + b"\nexit $?\n"
    script = _SPECIAL.sub(lambda byte: b"\\0%03o" % byte[0][0], text)
    return f'eval "$(printf %b "{script.decode("ascii")}")"'
