# SPDX-License-Identifier: Apache-2.0
"""GPUs as a job requests them, and in the syntax of each engine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from mlcube_remote.commands.model import Options
from mlcube_remote.cube.model import Cube
from mlcube_remote.errors import UsageError
from mlcube_remote.platforms import has_too_many_gpus

_ITEM = r"[a-z]+=[^\s,]+(?:,[^\s,=]+)*"

_GPUS = re.compile(rf'"?(?:|all|\d+|{_ITEM})(?:,{_ITEM})*"?', re.ASCII)
"""Values that Docker accepts, also as a line of CSV."""


@attrs.frozen
class Device:
    """One GPU of a host."""

    index: str
    """Its number in ``nvidia-smi``."""
    uuid: str
    """Its unique name."""


def requested_gpus(
    options: Options, cube: Cube, platform: str, sections: Iterable[Mapping[str, Any]]
) -> int:
    """Return how many GPUs a job needs for itself; 0 if none, or if it names certain ones.

    Args:
        options: The options of the command line.
        cube: The cube.
        platform: The job's platform.
        sections: Platform settings; if one of them has ``--gpus``, nothing is leased.
    """
    text = options.gpus
    if text is None:
        if any("--gpus" in each for each in sections) or platform in {"singularity", "apptainer"}:
            return 0
        text = str(cube.accelerator_count or "").strip()
    return int(text) if text.isdecimal() else 0


def check_gpus_option(asked: str | None) -> None:
    """Reject a ``--gpus`` that no engine understands.

    Raises:
        UsageError: It is not a number, ``all``, or a list of devices.
    """
    if asked is not None and (not _GPUS.fullmatch(asked) or has_too_many_gpus(asked)):
        raise UsageError(
            f"--gpus={asked}: expected a number, all, or device=0,1",
            hint=f"--gpus=device={asked}" if re.fullmatch(r"\d+(,\d+)+", asked) else None,
        )


def format_devices(platform: str, devices: Sequence[Device]) -> str:
    """Return the devices in the syntax of ``--gpus`` for a platform."""
    if platform == "podman":
        # CDI knows the numbers in any case, and not always the UUIDs.
        return f"device={','.join(device.index for device in devices)}"
    names = f"device={','.join(device.uuid for device in devices)}"
    # Docker parses the option as a line of CSV.
    return f'"{names}"' if platform == "docker" and len(devices) > 1 else names
