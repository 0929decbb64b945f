# SPDX-License-Identifier: Apache-2.0
"""The one place where values become shell text.

Every value that reaches a host's ``/bin/sh`` passes through here, on the standard input of that
shell and nowhere else: no login shell, and no argument list, ever sees it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FUNCTION = re.compile(r"mlcr_[a-z_]+")


def quote_words(words: Iterable[str]) -> str:
    """Return ``words`` as one line of shell text that /bin/sh splits into exactly these words.

    Raises:
        ValueError: A word holds NUL, which no argument can.
    """
    quoted = []
    for word in words:
        if "\0" in word:
            raise ValueError(f"a NUL character cannot be passed on: {word!r}")
        quoted.append(shlex.quote(word))
    return " ".join(quoted)


def render_call(function: str, args: Iterable[str], env: Mapping[str, str] | None = None) -> bytes:
    """Return shell text that calls a library function.

    Args:
        function: A name of the shell library.
        args: Its positional parameters; lone surrogates stand for bytes that are not UTF-8.
        env: Variables to export before the call.

    Raises:
        ValueError: The function or a variable has an impossible name, or a value holds NUL.
    """
    if not _FUNCTION.fullmatch(function):
        raise ValueError(f"not a function of the shell library: {function!r}")
    lines = []
    for name, value in (env or {}).items():
        if not _VARIABLE.fullmatch(name):
            raise ValueError(f"not a variable's name: {name!r}")
        if "\0" in value:
            # Not shown: it may be a secret.
            raise ValueError(f"a NUL character cannot be passed on: variable {name}")
        lines.append(f"export {name}={quote_words([value])}\n")
    lines.append(f"{function} {quote_words(args)}")
    return "".join(lines).encode("utf-8", "surrogateescape")
