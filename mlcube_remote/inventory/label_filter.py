# SPDX-License-Identifier: Apache-2.0
"""``--where gpu=a100``: keep the selected hosts whose labels match."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable

import attrs

from mlcube_remote.errors import InventoryError
from mlcube_remote.inventory.model import Host
from mlcube_remote.suggestions import did_you_mean

_CONDITION = re.compile(r"(?P<label>[^=!]+?)\s*(?P<not>!?)=\s*(?P<value>.+)")


@attrs.frozen
class Condition:
    """A value that one label of a host must have, or must not have."""

    label: str
    value: str
    """The label's value; ``*`` and ``?`` are wildcards, as in ``--host``."""
    negated: bool = False

    def __str__(self) -> str:
        return f"{self.label}{'!' if self.negated else ''}={self.value}"

    def matches(self, host: Host) -> bool:
        """Return whether a host matches; a host without the label matches only ``!=``."""
        found = host.labels.get(self.label)
        return self.negated != (found is not None and fnmatch.fnmatchcase(found, self.value))


def filter_by_labels(
    hosts: Iterable[Host], conditions: Iterable[str], *, known: Iterable[Host]
) -> tuple[Host, ...]:
    """Return the hosts that match all conditions, in their order.

    Args:
        hosts: The hosts to filter.
        conditions: ``LABEL=VALUE`` or ``LABEL!=VALUE``, comma-separated.
        known: All hosts of the inventory; a label is unknown if none of them has it.

    Raises:
        InventoryError: A condition has another form, a label is unknown, or no host matches.
    """
    parsed = [_parse(text) for each in conditions for text in each.split(",") if text.strip()]
    candidates = tuple(hosts)
    labels = dict.fromkeys(label for host in (*candidates, *known) for label in host.labels)
    for condition in parsed:
        if condition.label not in labels:
            listed = ", ".join(labels) or "none; add some in hosts.yaml: labels: {gpu: a100}"
            raise InventoryError(
                f"--where {condition}: no host has a label '{condition.label}'"
                f"{did_you_mean(condition.label, labels)}",
                hint=f"labels: {listed}",
            )
    matching = tuple(host for host in candidates if all(each.matches(host) for each in parsed))
    if parsed and not matching:
        names = _shorten([host.name for host in candidates])
        raise InventoryError(
            f"--where {','.join(map(str, parsed))}: matches none of {names}",
            hint="; ".join(
                f"{label} is {_values(candidates, label)}"
                for label in dict.fromkeys(each.label for each in parsed)
            ),
        )
    return matching


def _parse(text: str) -> Condition:
    match = _CONDITION.fullmatch(text.strip())
    if match is None:
        raise InventoryError(
            f"--where {text.strip()}: expected LABEL=VALUE or LABEL!=VALUE",
            hint="for example: --where gpu=a100; set labels in hosts.yaml",
        )
    return Condition(match["label"].strip(), match["value"].strip(), match["not"] == "!")


def _values(hosts: Iterable[Host], label: str) -> str:
    values = sorted({host.labels[label] for host in hosts if label in host.labels})
    return _shorten(values) if values else "not a label of these hosts"


def _shorten(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f", … ({len(names)} in all)" if len(names) > 8 else "")
