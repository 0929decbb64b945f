# SPDX-License-Identifier: Apache-2.0
"""Turn the arguments of the Python functions into options."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import attrs

from mlcube_remote.app.options import (
    DEFAULT_PARALLEL,
    DEFAULT_RETRIES,
    ContainerOptions,
    Credentials,
    CubeOptions,
    HostOptions,
    StartOptions,
    SweepOptions,
    TaskOptions,
)
from mlcube_remote.app.parse import split_names
from mlcube_remote.commands.model import Options
from mlcube_remote.errors import UsageError
from mlcube_remote.secret import Secret

Names = str | Iterable[str]
"""One name, several with commas between, or an iterable of them."""

PathName = str | os.PathLike[str]


@attrs.frozen(kw_only=True)
class Access:
    """Which hosts a call works on, and how it logs in to them."""

    hosts: HostOptions
    secrets: Credentials

    def credentials(self) -> Credentials:
        """Return the secrets for the login; the user is not asked."""
        return self.secrets


def access(
    hosts: Names,
    inventory: PathName | None,
    password: str | None,
    passphrase: str | None,
    *,
    where: Names = (),
) -> Access:
    """Return the access that the arguments of a call describe."""
    return Access(
        hosts=HostOptions(names=to_tuple(hosts), where=to_tuple(where), inventory=_path(inventory)),
        secrets=Credentials(
            password=None if password is None else Secret(password),
            passphrase=None if passphrase is None else Secret(passphrase),
        ),
    )


def cube(
    path: PathName, overrides: Mapping[str, str] | None, workspace: PathName | None = None
) -> CubeOptions:
    """Return the options that name a cube.

    Raises:
        UsageError: The path does not exist.
    """
    if not Path(path).exists():
        raise UsageError(f"{os.fspath(path)}: no such cube")
    return CubeOptions(
        path=os.fspath(path),
        overrides=tuple(f"{name}={value}" for name, value in (overrides or {}).items()),
        workspace=_path(workspace),
    )


def tasks(
    names: Names,
    parameters: Mapping[str, str] | None,
    env: Names,
    timeout: float | None,
    grace: float,
    allow_missing: Names,
    fresh_outputs: bool,
    copy_links: bool,
    slurm: Mapping[str, Names] | None,
) -> TaskOptions:
    """Return the options of tasks."""
    return TaskOptions(
        names=task_names(names),
        parameters=parameters or {},
        env=to_tuple(env),
        timeout=timeout,
        grace=grace,
        allow_missing=to_tuple(allow_missing),
        fresh_outputs=fresh_outputs,
        copy_links=copy_links,
        slurm=tuple(
            f"{key}={value}" for key, values in (slurm or {}).items() for value in to_tuple(values)
        ),
    )


def container(
    platform: str | None,
    network: str | None,
    gpus: str | int | None,
    memory: str | None,
    cpu: str | None,
    trust_cube: bool,
    ship_image: str | None,
) -> ContainerOptions:
    """Return the options of containers."""
    return ContainerOptions(
        platform=platform,
        engine=Options(
            network=network, gpus=None if gpus is None else str(gpus), memory=memory, cpu=cpu
        ),
        trust_cube=trust_cube,
        ship_image=ship_image,
    )


def sweep(
    axes: Mapping[str, Iterable[object]] | None,
    file: PathName | None,
    shard: str | None,
    retries: int | None,
    sample: int | tuple[int, int] | None,
) -> SweepOptions:
    """Return the options of a sweep.

    Args:
        axes: Name → values.
        file: File with more values, or with a list of points.
        shard: ``NAME=LIST``.
        retries: Maximum retries per job; ``None``: the default.
        sample: Number of random points, and maybe their seed.

    Raises:
        UsageError: Values are no list of texts and numbers, or one contains a comma.
    """
    count, seed = sample if isinstance(sample, tuple) else (sample, None)
    return SweepOptions(
        sample=count,
        seed=seed,
        axes={name: _axis(name, values) for name, values in (axes or {}).items()},
        file=_path(file),
        shard=shard,
        retries=DEFAULT_RETRIES if retries is None else retries,
    )


def _axis(name: str, values: Iterable[object]) -> tuple[str, ...]:
    # A text is one value, not a sequence of letters, and so is a number.
    is_one = isinstance(values, str) or not isinstance(values, Iterable)
    items: list[object] = [values] if is_one else list(values)
    if isinstance(values, Mapping):
        items = [values]
    for value in items:
        if value is not None and not isinstance(value, (list, tuple, Mapping)):
            continue
        raise UsageError(
            f"sweep: {name}: {value!r}: expected texts and numbers",
            hint=f"for example: sweep={{{name!r}: [0.1, 0.01]}}",
        )
    texts = tuple(str(value).strip() for value in items)
    if with_comma := [text for text in texts if "," in text]:
        # The record of a run separates values by commas.
        raise UsageError(
            f"sweep: {name}: a value with a comma: {with_comma[0]!r}",
            hint="write a list of values; put values that have commas into a sweep_file",
        )
    return texts


def start(
    parallel: int | None,
    max_failures: int | None,
    *,
    detach: bool = False,
    wait: bool = False,
) -> StartOptions:
    """Return the options that say how jobs start."""
    return StartOptions(
        detach=detach,
        wait=wait,
        max_failures=max_failures,
        parallel=DEFAULT_PARALLEL if parallel is None else parallel,
    )


def task_names(tasks: Names) -> tuple[str, ...]:
    """Return the names of tasks.

    Raises:
        UsageError: A task is named twice.
    """
    return split_names(to_tuple(tasks))


def to_tuple(names: Names) -> tuple[str, ...]:
    """Return names as a tuple."""
    return (names,) if isinstance(names, str) else tuple(names)


def _path(path: PathName | None) -> str | None:
    return None if path is None else os.fspath(path)
