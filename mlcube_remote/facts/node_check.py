# SPDX-License-Identifier: Apache-2.0
"""Try a compute node of Slurm: its engine, its disk, and the file system of the login node."""

from __future__ import annotations

from collections.abc import Iterator

from mlcube_remote.facts.check_result import CheckResult
from mlcube_remote.inventory.model import Host
from mlcube_remote.plan.slurm_image import trial_words
from mlcube_remote.remote import function_program
from mlcube_remote.transport.base import Connection

_WAIT_S = 300
"""Maximum time for a free node."""


def check_compute_node(
    connection: Connection, host: Host, root: str, engine: str
) -> Iterator[CheckResult]:
    """Run a short job on a compute node, and yield what it shows.

    Args:
        connection: The login node.
        host: Its inventory entry.
        root: The directory for jobs.
        engine: The program of Apptainer or Singularity.

    Raises:
        HostError: The connection is lost.
    """
    script = function_program("mlcr_show_node")
    place = host.slurm.get("scratch", "")
    words = (root, str(_WAIT_S), engine, place, script, *trial_words(host))
    reply = connection.call("mlcr_try_compute_node", *words, timeout=_WAIT_S + 60.0)
    facts = dict(reply.records())
    node = facts.get("node", "")
    if not node:
        said = (facts.get("problem") or reply.message).strip().splitlines()
        yield CheckResult(
            name="compute node",
            passed=False,
            detail=said[-1] if said else "the job ended without an answer",
            hint="set partition, account or qos below slurm: in the inventory; partitions: sinfo",
        )
        return
    version = facts.get("engine", "")
    has_engine = version.startswith(("apptainer", "singularity"))
    yield CheckResult(
        name="compute node",
        passed=has_engine,
        detail=f"{node}: {version or f'no answer from {engine}'}",
        hint=None if has_engine else "if a module provides it: modules: [apptainer], below slurm:",
    )
    is_shared = facts.get("sees") == facts.get("writes") == "yes"
    yield CheckResult(
        name="shared",
        passed=is_shared,
        detail=f"{root} is {'' if is_shared else 'not '}the same on {node}",
        hint=None if is_shared else "set remote_root to a directory that all nodes share",
    )
    if place:
        yield _check_scratch(facts.get("scratch", ""), place, node)


def _check_scratch(answer: str, place: str, node: str) -> CheckResult:
    word, _, path = answer.partition(" ")
    can_write = word == "yes"
    reason = answer.removeprefix("scratch: ") or f"no answer about {place}"
    return CheckResult(
        name="scratch",
        passed=can_write,
        detail=f"{place} is {path} on {node}" if can_write else reason,
        hint=None if can_write else "correct scratch: below slurm: in the inventory, or remove it",
    )
