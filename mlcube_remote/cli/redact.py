# SPDX-License-Identifier: Apache-2.0
"""The command line as a record may contain it: without anything that looks like a secret."""

from __future__ import annotations

import re
from collections.abc import Sequence

_LOGIN = re.compile(r"(?<=://)[^/@\s]+(?=@)")
"""User and password in an address."""

_NAME = re.compile(
    r"token|secret|passw|passphrase|credential|(api|access|private)[-_.]?key", re.IGNORECASE
)
_MASK = "***"


def redact(argv: Sequence[str]) -> tuple[str, ...]:
    """Return a command line with masked values.

    Masked are: the value of ``--env NAME=VALUE``, the login in an address, and each ``NAME=VALUE``
    whose name sounds like that of a secret.
    """
    words = ["mlcube-remote", *argv[1:]]
    return tuple(
        _redact_word(word, is_variable=before == "--env")
        for before, word in zip(["", *words], words, strict=False)
    )


def _redact_word(word: str, *, is_variable: bool) -> str:
    if word.startswith("--env="):
        return f"--env={_redact_word(word.removeprefix('--env='), is_variable=True)}"
    name, equals, value = word.partition("=")
    if not equals:
        return _LOGIN.sub(_MASK, word)
    if value and (is_variable or _NAME.search(name)):
        return f"{name}={_MASK}"
    return _LOGIN.sub(_MASK, word)
