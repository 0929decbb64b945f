# SPDX-License-Identifier: Apache-2.0
"""Turn values into shell text. No other module does so for a host.

A host's ``/bin/sh`` reads this text from its standard input. So the values never pass through a
login shell or an argument list.
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
        ValueError: A word contains NUL, which arguments cannot contain.
    """
    quoted = []
    for word in words:
        if "\0" in word:
            raise ValueError(f"a NUL character cannot be passed to a host: {word!r}")
        quoted.append(shlex.quote(word))
    return " ".join(quoted)


def render_call(function: str, args: Iterable[str], env: Mapping[str, str] | None = None) -> bytes:
    """Return shell text that calls a function of the shell library.

    Args:
        function: Its name.
        args: Its positional parameters; lone surrogates represent bytes that are not UTF-8.
        env: Variables to export before the call.

    Raises:
        ValueError: The function or a variable has an invalid name, or a value contains NUL.
    """
    if not _FUNCTION.fullmatch(function):
        raise ValueError(f"not a function of the shell library: {function!r}")
    lines = []
    for name, value in (env or {}).items():
        if not _VARIABLE.fullmatch(name):
            raise ValueError(f"not a name of a variable: {name!r}")
        if "\0" in value:
            # The value may be a secret, so the message omits it.
            raise ValueError(f"a NUL character cannot be passed to a host: variable {name}")
        lines.append(f"export {name}={quote_words([value])}\n")
    lines.append(f"{function} {quote_words(args)}")
    return "".join(lines).encode("utf-8", "surrogateescape")
