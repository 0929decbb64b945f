# SPDX-License-Identifier: Apache-2.0
"""Paramiko, imported without what we never use of it.

For ``Match exec`` in its own ssh_config parser, Paramiko imports Invoke where it is installed, and
with it asyncio and unittest: a third of its import time, on every run. ``ssh -G`` reads ssh_config
here, so for the time of the import there is no Invoke. To learn its own version it imports
importlib.metadata, and with it email and zipfile: another fifth. The name of the folder with its
metadata says the same.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType


def installed_version(package: str) -> str | None:
    """Return a package's version by the name of its metadata's folder; ``None``: not to be told."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    beside = Path(spec.submodule_search_locations[0]).parent
    found = [path.name for path in beside.glob(f"{package}-*.dist-info")]
    if len(found) != 1:
        return None
    return found[0].removeprefix(f"{package}-").removesuffix(".dist-info")


@contextmanager
def _instead(name: str, module: ModuleType | None) -> Iterator[None]:
    """Let an import find *module* under a name; ``None``: that there is none."""
    sys.modules[name] = module  # type: ignore[assignment] # the documented way to hide a module
    try:
        yield
    finally:
        del sys.modules[name]


def _import_paramiko() -> None:
    if "paramiko" in sys.modules:
        return
    stands_in: dict[str, ModuleType | None] = {"invoke": None}
    if version := installed_version("paramiko"):
        metadata = ModuleType("importlib.metadata")
        metadata.version = lambda _package: version  # type: ignore[attr-defined]
        stands_in["importlib.metadata"] = metadata
    with ExitStack() as stack:
        for name, module in stands_in.items():
            if name not in sys.modules:
                stack.enter_context(_instead(name, module))
        import paramiko  # noqa: F401, PLC0415 - the point of this module


_import_paramiko()

# Paramiko logs what it raises as well; the error is told once, in our words.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
logging.getLogger("paramiko").propagate = False
