# SPDX-License-Identifier: Apache-2.0
"""Import Paramiko without the parts that this package never uses.

- Paramiko imports Invoke if it is installed, for ``Match exec`` in its own ssh_config parser.
  Invoke imports asyncio and unittest: a third of the import time, in every run. This package reads
  ssh_config with ``ssh -G``, so Invoke is hidden during the import. Fabric in the same process does
  use Paramiko's parser: it gets Invoke when it needs it.
- Paramiko imports importlib.metadata to find its own version, and with it email and zipfile: a
  fifth of the import time. Here the version is read from the name of the metadata's folder.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any


def installed_version(package: str) -> str | None:
    """Return a package's version from the name of its metadata folder; ``None``: unknown."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    site_packages = Path(spec.submodule_search_locations[0]).parent
    found = [path.name for path in site_packages.glob(f"{package}-*.dist-info")]
    if len(found) != 1:
        return None
    return found[0].removeprefix(f"{package}-").removesuffix(".dist-info")


@contextmanager
def _replaced(name: str, module: ModuleType | None) -> Iterator[None]:
    """Let imports of a name find *module*; ``None``: let them fail."""
    sys.modules[name] = module  # type: ignore[assignment] # the documented way to hide a module
    try:
        yield
    finally:
        del sys.modules[name]


class _LateInvoke(ModuleType):
    """Takes the place of Invoke in Paramiko's parser of ssh_config, and imports it when needed."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module("invoke"), name)


def _import_paramiko() -> None:
    if "paramiko" in sys.modules:
        return
    replacements: dict[str, ModuleType | None] = {"invoke": None}
    if version := installed_version("paramiko"):
        metadata = ModuleType("importlib.metadata")
        metadata.version = lambda _package: version  # type: ignore[attr-defined]
        replacements["importlib.metadata"] = metadata
    with ExitStack() as stack:
        for name, module in replacements.items():
            if name not in sys.modules:
                stack.enter_context(_replaced(name, module))
        import paramiko.config  # noqa: PLC0415 - the point of this module
    if paramiko.config.invoke is None:  # type: ignore[attr-defined] # not in the stubs
        paramiko.config.invoke = _LateInvoke("invoke")  # type: ignore[attr-defined]


_import_paramiko()

# Paramiko also logs what it raises; this package reports each error once.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
logging.getLogger("paramiko").propagate = False
