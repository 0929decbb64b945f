# SPDX-License-Identifier: Apache-2.0
"""``${oc.env:NAME}``: which environment variables of this machine a file may read.

OmegaConf has one resolver for the whole process. It is wrapped once; while a cube is resolved, the
wrapper asks a :class:`VariableReader`, and at all other times it does what the original does.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import attrs

_TYPED = re.compile(r"\$\{\s*(?:oc\s*\.\s*)?env\s*:\s*([A-Za-z_]\w*)", re.ASCII)


def typed_variables(texts: Collection[str]) -> frozenset[str]:
    """Return the variables that the user's own texts name."""
    return frozenset(name for text in texts for name in _TYPED.findall(text))


@attrs.frozen
class VariableReader:
    """Reads the variables that a file may read, and notes the others."""

    allows: Callable[[str], bool]
    asked: dict[str, None] = attrs.field(factory=dict, init=False)
    """Variables that are set on this machine, and that the file may not read, in order."""

    def read(self, original: Callable[..., Any], name: str, *default: Any) -> Any:
        """Return the value, the default, or the interpolation itself if it is not allowed."""
        if name in os.environ and not self.allows(name):
            self.asked[name] = None
            return f"${{oc.env:{name}}}"
        return original(name, *default)


_READER: ContextVar[VariableReader | None] = ContextVar("_READER", default=None)
_is_wrapped = False


@contextmanager
def reading_variables(reader: VariableReader) -> Iterator[None]:
    """Let OmegaConf's ``oc.env`` ask ``reader`` inside the block, in this thread or task."""
    _wrap()
    token = _READER.set(reader)
    try:
        yield
    finally:
        _READER.reset(token)


def _wrap() -> None:
    global _is_wrapped  # noqa: PLW0603 - OmegaConf's table of resolvers is global, too
    if _is_wrapped:
        return
    from omegaconf import OmegaConf  # noqa: PLC0415 - slow, see resolve.py
    from omegaconf.resolvers import oc  # noqa: PLC0415

    def read(name: str, *default: Any) -> Any:
        reader = _READER.get()
        return oc.env(name, *default) if reader is None else reader.read(oc.env, name, *default)

    # Version 2.4 renamed the method, and warns if the old name is used.
    is_new = "replace" in inspect.signature(OmegaConf.register_resolver).parameters
    register = OmegaConf.register_resolver if is_new else OmegaConf.register_new_resolver
    register("oc.env", read, replace=True)
    _is_wrapped = True
