# SPDX-License-Identifier: Apache-2.0
"""Turn the arguments of the Python functions into options."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from mlcube_remote.app.options import Credentials, CubeOptions, HostOptions
from mlcube_remote.errors import UsageError
from mlcube_remote.secret import Secret

Names = str | Iterable[str]
"""One name, several with commas between, or an iterable of them."""


def hosts(names: Names, inventory: str | os.PathLike[str] | None, where: Names = ()) -> HostOptions:
    """Return which hosts, from which inventory."""
    return HostOptions(
        names=several(names),
        where=several(where),
        inventory=None if inventory is None else os.fspath(inventory),
    )


def credentials(password: str | None, passphrase: str | None) -> Callable[[], Credentials]:
    """Return the credentials of the call; nobody is asked."""
    typed = Credentials(
        password=None if password is None else Secret(password),
        passphrase=None if passphrase is None else Secret(passphrase),
    )
    return lambda: typed


def cube(
    path: str | os.PathLike[str],
    overrides: Mapping[str, str] | None,
    workspace: str | os.PathLike[str] | None = None,
) -> CubeOptions:
    """Return which cube.

    Raises:
        UsageError: The path does not exist.
    """
    if not Path(path).exists():
        raise UsageError(f"{os.fspath(path)}: no such cube")
    return CubeOptions(
        path=os.fspath(path),
        overrides=pairs(overrides),
        workspace=None if workspace is None else os.fspath(workspace),
    )


def sweep_axes(sweep: Mapping[str, Iterable[object]] | None) -> tuple[str, ...]:
    """Return the axes of a sweep as the record of a run has them: ``NAME=VALUE,VALUE``.

    Raises:
        UsageError: A value contains a comma.
    """
    axes = []
    for name, values in (sweep or {}).items():
        # A text is one value, not a sequence of letters.
        texts = [values] if isinstance(values, str) else [str(value) for value in values]
        if with_comma := [text for text in texts if "," in text]:
            raise UsageError(
                f"sweep: {name}: a value with a comma: {with_comma[0]!r}",
                hint="put such values into a sweep_file",
            )
        axes.append(f"{name}={','.join(texts)}")
    return tuple(axes)


def several(names: Names) -> tuple[str, ...]:
    """Return names as a tuple."""
    return (names,) if isinstance(names, str) else tuple(names)


def pairs(values: Mapping[str, str] | None) -> tuple[str, ...]:
    """Return ``NAME=VALUE`` for each item."""
    return tuple(f"{name}={value}" for name, value in (values or {}).items())
