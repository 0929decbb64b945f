# SPDX-License-Identifier: Apache-2.0
"""What a Slurm cluster offers, and whether it fits what the inventory asks for."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from mlcube_remote.facts.check_result import CheckResult
from mlcube_remote.facts.quota import check_quota
from mlcube_remote.formatting import list_first
from mlcube_remote.inventory.model import Host
from mlcube_remote.remote import status
from mlcube_remote.transport.base import Connection

_MAX_PARTITIONS = 6
"""Number of partitions in one line of the report."""
_COLUMNS = 5
"""Of what ``mlcr_report_slurm`` asks about a partition."""


def check_slurm(connection: Connection, host: Host, root: str) -> tuple[CheckResult, ...]:
    """Check a login node.

    Args:
        connection: The host.
        host: Its inventory entry.
        root: The directory for jobs.

    Raises:
        HostError: The connection is lost.
    """
    reply = connection.call("mlcr_report_slurm", root, timeout=150.0)
    facts = dict(reply.records())
    if reply.code == status.NO_PROGRAM or "version" not in facts:
        missing = facts.get("missing", "sbatch")
        return (
            CheckResult(
                name="slurm",
                passed=False,
                detail=f"{missing} was not found",
                hint=f"omit launcher: slurm of {host.name}; or put the directory of {missing} on "
                "the PATH of non-interactive shells",
            ),
        )
    version = CheckResult(name="slurm", passed=True, detail=facts["version"].strip())
    if "problem" in facts:
        lines = facts["problem"].strip().splitlines() or ["sinfo gives no answer"]
        failed = attrs.evolve(
            version, passed=False, detail=lines[-1], hint=f"on {host.name}: sinfo"
        )
        return (failed,)
    return (
        version,
        _partition(host, facts.get("partitions", "")),
        *_account(host, facts),
        *_limits(facts.get("limits", "")),
        *check_quota(facts.get("quota", ""), root),
    )


def _partition(host: Host, text: str) -> CheckResult:
    rows = [line.split(maxsplit=_COLUMNS - 1) for line in text.splitlines()]
    rows = [row for row in rows if len(row) == _COLUMNS]
    found = dict.fromkeys(row[0].removesuffix("*") for row in rows)
    shown = list_first([_describe(row) for row in rows], _MAX_PARTITIONS)
    wanted = [name for name in str(host.slurm.get("partition", "")).split(",") if name]
    if unknown := [name for name in wanted if name not in found]:
        return CheckResult(
            name="partition",
            passed=False,
            detail=f"{', '.join(unknown)}: no such partition, or not for you",
            hint=f"choose one of: {', '.join(found) or 'none'}",
        )
    return CheckResult(name="partition", passed=True, detail=shown or "none")


def _describe(row: list[str]) -> str:
    """Return a partition for the report; ``*`` marks the default one."""
    name, state, limit, nodes, gres = row
    gpus = "" if gres.strip() == "(null)" else f", {gres.strip()}"
    down = "" if state == "up" else f", {state}"
    return f"{name} ({nodes} nodes, {limit}{gpus}{down})"


def _account(host: Host, facts: dict[str, str]) -> Iterator[CheckResult]:
    default = facts.get("account", "").strip()
    if "account" in facts:
        asked = host.slurm.get("account")
        detail = f"{asked}, as configured" if asked else default or "no default account"
        yield CheckResult(
            name="account",
            passed=bool(asked or default),
            detail=detail,
            hint=None if asked or default else "set account: below slurm: in the inventory",
        )


def _limits(text: str) -> Iterator[CheckResult]:
    """Yield the limits of the user's associations: ``ACCOUNT|PARTITION|JOBS|SUBMITTED|TIME``."""
    rows = [line.split("|") for line in text.splitlines()]
    shown = []
    for row in rows:
        if len(row) != _COLUMNS:
            continue
        account, partition, *values = row
        words = (" jobs run", " jobs wait or run", " each")
        known = [f"{value}{word}" for value, word in zip(values, words, strict=True) if value]
        where = f"{account} in {partition}" if partition else account
        shown += [f"{where}: {', '.join(known)}"] if known else []
    if shown:
        detail = f"at most {list_first(shown, _MAX_PARTITIONS)}"
        yield CheckResult(name="limits", passed=True, detail=detail)
