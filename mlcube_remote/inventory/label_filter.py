# SPDX-License-Identifier: Apache-2.0
"""``--where gpu=a100``: of the hosts that were named, those whose labels fit."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable

import attrs

from mlcube_remote.errors import InventoryError
from mlcube_remote.inventory.model import Host
from mlcube_remote.yamlsource import nearest

_CONDITION = re.compile(r"(?P<label>[^=!]+?)\s*(?P<not>!?)=\s*(?P<value>.+)")


@attrs.frozen
class Condition:
    """What one label of a host must be, or must not be."""

    label: str
    value: str
    """As the inventory has it; ``*`` and ``?`` stand for anything, as in ``--host``."""
    negated: bool = False

    def __str__(self) -> str:
        return f"{self.label}{'!' if self.negated else ''}={self.value}"

    def holds(self, host: Host) -> bool:
        """Whether it holds for a host; a host without the label has no value that fits."""
        found = host.labels.get(self.label)
        return self.negated != (found is not None and fnmatch.fnmatchcase(found, self.value))


def narrow(
    hosts: Iterable[Host], conditions: Iterable[str], *, known: Iterable[Host]
) -> tuple[Host, ...]:
    """Return the hosts for which all conditions hold, in their order.

    Args:
        hosts: The hosts to choose from.
        conditions: ``LABEL=VALUE`` or ``LABEL!=VALUE``, commas between them.
        known: Hosts whose labels may be meant: an inventory's.

    Raises:
        InventoryError: A condition is none, no host has such a label, or no host is left.
    """
    wanted = [_condition(text) for each in conditions for text in each.split(",") if text.strip()]
    named, everywhere = tuple(hosts), tuple(known)
    labels = dict.fromkeys(label for host in (*named, *everywhere) for label in host.labels)
    for condition in wanted:
        if condition.label not in labels:
            meant = nearest(condition.label, labels)
            raise InventoryError(
                f"--where {condition}: no host has a label '{condition.label}'"
                + (f" (did you mean '{meant}'?)" if meant else ""),
                hint=f"labels: {', '.join(labels) or 'none; give hosts some: labels: {gpu: a100}'}",
            )
    left = tuple(host for host in named if all(each.holds(host) for each in wanted))
    if wanted and not left:
        raise InventoryError(
            f"--where {','.join(map(str, wanted))}: fits none of {_some([h.name for h in named])}",
            hint="; ".join(
                f"{label} is {_values(named, label)}"
                for label in dict.fromkeys(each.label for each in wanted)
            ),
        )
    return left


def _condition(text: str) -> Condition:
    match = _CONDITION.fullmatch(text.strip())
    if match is None:
        raise InventoryError(
            f"--where {text.strip()}: expected LABEL=VALUE or LABEL!=VALUE",
            hint="for example: --where gpu=a100; the inventory gives labels to hosts",
        )
    return Condition(match["label"].strip(), match["value"].strip(), match["not"] == "!")


def _values(hosts: Iterable[Host], label: str) -> str:
    values = sorted({host.labels[label] for host in hosts if label in host.labels})
    return _some(values) if values else "not a label of any of them"


def _some(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f", … ({len(names)} in all)" if len(names) > 8 else "")
