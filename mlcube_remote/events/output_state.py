# SPDX-License-Identifier: Apache-2.0
"""What a run did to an output: only what it made or updated is its result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum

import attrs


class OutputState(Enum):
    """What a run did to an output, as its host reports it."""

    MADE = "made"
    """Nothing was there before."""
    UPDATED = "updated"
    """Some of it is new, changed or deleted."""
    UNCHANGED = "unchanged"
    """All of it is as before, or it is an empty directory: it is not a result of the run."""


@attrs.frozen(kw_only=True)
class OutputChange:
    """What a run did to an output, entry by entry."""

    state: OutputState
    names: tuple[str, ...] | None = None
    """POSIX paths below the output (``.``: the output itself) of what was made or updated;
    ``None``: all of it, or unknown."""
    list_size: int = 0
    """Size in bytes of the host's list of these names, if it is too long for the report."""


OutputChanges = Mapping[str, OutputChange]
"""Name of an output → its change; without an entry it does not exist, or nothing is known."""


def unchanged_outputs(changes: OutputChanges | None) -> tuple[str, ...]:
    """Return the names of outputs that a task left as they were."""
    return tuple(
        name for name, change in (changes or {}).items() if change.state is OutputState.UNCHANGED
    )


def stale_reason(names: Iterable[str]) -> str:
    """Return why a task failed that left outputs as they were."""
    return f"exited 0 and left its output {', '.join(names)} unchanged (--fresh-outputs)"
