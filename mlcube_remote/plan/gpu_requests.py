# SPDX-License-Identifier: Apache-2.0
"""GPUs as a job asks for them, and as an engine takes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from mlcube_remote.commands.model import Options
from mlcube_remote.cube.model import Cube
from mlcube_remote.errors import UsageError

_ITEM = r"[a-z]+=[^\s,]+(?:,[^\s,=]+)*"

_GPUS = re.compile(rf'"?(?:|all|\d+|{_ITEM})(?:,{_ITEM})*"?', re.ASCII)
"""What Docker takes, as a line of CSV too."""


@attrs.frozen
class Device:
    """One GPU of a host."""

    index: str
    """Its number, as ``nvidia-smi`` counts."""
    uuid: str
    """Its name, which no two devices share."""


def requested_gpus(
    options: Options, cube: Cube, platform: str, sections: Iterable[Mapping[str, Any]]
) -> int:
    """Return how many GPUs of its own a job asks for; 0 where none, or certain ones.

    Args:
        options: The command line's.
        cube: The cube.
        platform: The job's platform.
        sections: Platform settings that may say ``--gpus``: what they say is left alone.
    """
    text = options.gpus
    if text is None:
        if any("--gpus" in each for each in sections) or platform in {"singularity", "apptainer"}:
            return 0
        text = str(cube.accelerator_count or "").strip()
    return int(text) if text.isdecimal() else 0


def check_gpus_option(asked: str | None) -> None:
    """Refuse a ``--gpus`` that no engine would understand, before anything is sent.

    Raises:
        UsageError: It is neither a number, nor ``all``, nor names devices.
    """
    if asked is not None and not _GPUS.fullmatch(asked):
        raise UsageError(
            f"--gpus={asked}: expected a number, all, or device=0,1",
            hint=f"--gpus=device={asked}" if re.fullmatch(r"\d+(,\d+)+", asked) else None,
        )


def format_devices(platform: str, devices: Sequence[Device]) -> str:
    """Return the devices as ``--gpus`` has them for a platform."""
    if platform == "podman":
        # What CDI surely knows are the numbers.
        return f"device={','.join(device.index for device in devices)}"
    names = f"device={','.join(device.uuid for device in devices)}"
    # Docker reads the option as a line of CSV.
    return f'"{names}"' if platform == "docker" and len(devices) > 1 else names
