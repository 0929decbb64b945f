# SPDX-License-Identifier: Apache-2.0
"""What a Slurm cluster offers, and whether it fits what the inventory asks for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import attrs

from mlcube_remote.facts.check_result import CheckResult
from mlcube_remote.facts.quota import check_quota
from mlcube_remote.formatting import list_first
from mlcube_remote.inventory.model import Host
from mlcube_remote.remote import status
from mlcube_remote.transport.base import Connection

_MAX_PARTITIONS = 6
"""Number of partitions in one line of the report."""
_MAX_LIMITS = 6
_LIMITS = ("running", "queued or running", "each")
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
        *_limits(facts),
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


def _account(host: Host, facts: Mapping[str, str]) -> Iterator[CheckResult]:
    """Yield the account, and the QOS if one is configured and refused."""
    if "account" not in facts:
        return
    default = facts["account"].strip()
    asked = str(host.slurm.get("account", ""))
    own = dict.fromkeys(line.split("|")[0] for line in facts.get("limits", "").splitlines())
    enforced = facts.get("enforced", "").lower().split(",")
    if asked and own and asked not in own and "associations" in enforced:
        yield _refused("account", asked, own)
    else:
        yield CheckResult(
            name="account",
            passed=bool(asked or default),
            detail=f"{asked}, as configured" if asked else default or "no default account",
            hint=None if asked or default else "set account: below slurm: in the inventory",
        )
    qos = str(host.slurm.get("qos", ""))
    permitted = _own_qos(facts)
    if qos and permitted and qos not in permitted and "qos" in enforced:
        yield _refused("qos", qos, permitted)


def _refused(key: str, asked: str, permitted: Iterable[str]) -> CheckResult:
    return CheckResult(
        name=key,
        passed=False,
        detail=f"{asked}: no such {key}, or not for you",
        hint=f"choose one of: {', '.join(permitted)}",
    )


def _own_qos(facts: Mapping[str, str]) -> dict[str, None]:
    """Return the names of the QOS that the user's associations have, in their order."""
    lines = facts.get("qos_of", "").splitlines()
    return dict.fromkeys(name for line in lines for name in line.strip("| ").split(",") if name)


def _limits(facts: Mapping[str, str]) -> Iterator[CheckResult]:
    """Yield the limits of the user's associations and of their QOS."""
    shown = []
    for line in facts.get("limits", "").splitlines():
        account, *more = line.split("|")
        partition = more[0] if more else ""
        where = f"{account} in {partition}" if partition else account
        shown += _describe_limits(where, more[1:])
    own = _own_qos(facts)
    for line in facts.get("qos", "").splitlines():
        name, *values = line.split("|")
        shown += _describe_limits(f"QOS {name}", values) if name in own else []
    if shown:
        detail = f"at most {list_first(shown, _MAX_LIMITS, '; ')}"
        yield CheckResult(name="limits", passed=True, detail=detail)


def _describe_limits(where: str, values: list[str]) -> list[str]:
    """Return the limits ``JOBS|SUBMITTED|TIME`` for the report; nothing if there are none."""
    if len(values) != len(_LIMITS):
        return []
    known = [f"{value} {word}" for value, word in zip(values, _LIMITS, strict=True) if value]
    return [f"{where}: {', '.join(known)}"] if known else []
