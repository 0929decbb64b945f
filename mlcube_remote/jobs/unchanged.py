# SPDX-License-Identifier: Apache-2.0
"""Start a job in one call, if its host finds that nothing has changed since an earlier run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import attrs

from mlcube_remote.commands.model import ImageCommands
from mlcube_remote.errors import HostUnfitError, StateUnknownError
from mlcube_remote.facts.probe import HostFacts, parse_facts
from mlcube_remote.remote import status
from mlcube_remote.runs.sent_mirrors import SentMirror
from mlcube_remote.secret import Secret
from mlcube_remote.transport.base import Connection
from mlcube_remote.transport.quoting import quote_words

_TIMEOUT_S = 90.0
"""For the probe, the engine's answer and the launch together."""


@attrs.frozen(kw_only=True)
class UnchangedStart:
    """What the host gets."""

    run_id: str
    """The run that the job belongs to."""
    known: SentMirror
    """What must be as it was."""
    probe: Sequence[str]
    """Arguments of ``mlcr_probe_host``."""
    question: Mapping[str, str]
    """Result of :func:`mlcube_remote.facts.engine_kind.docker_question`."""
    image: ImageCommands
    mirror: Sequence[str]
    """Arguments of ``mlcr_describe_mirror``."""
    claim: Sequence[str]
    """Arguments of ``mlcr_claim_job``."""
    launch: Sequence[str]
    """Arguments of ``mlcr_launch_job``."""
    env: Mapping[str, Secret]
    """Variables for the containers."""

    @property
    def words(self) -> tuple[str, ...]:
        """Arguments of ``mlcr_start_unchanged``."""
        return (
            self.known.host,
            quote_words(self.probe),
            self.question.get("mlcr_docker", ""),
            self.question.get("mlcr_depends_on_docker", ""),
            quote_words((self.image.image, *self.image.engine)),
            self.known.image,
            quote_words(self.mirror),
            self.known.mirror,
            quote_words(self.claim),
            *self.launch,
        )


@attrs.frozen(kw_only=True)
class StartAnswer:
    """What the host has answered."""

    changed: str = ""
    """What differs, so that nothing was started; empty: the job is launched."""
    facts: HostFacts | None = None
    """What the host is; ``None``: the answer does not say."""


def start_unchanged(connection: Connection, start: UnchangedStart) -> StartAnswer:
    """Start the job, unless something has changed.

    Raises:
        StateUnknownError: The host gave no answer: the job may run.
        HostError: As for :meth:`Connection.call`.
    """
    asked = time.time()
    reply = connection.call(
        "mlcr_start_unchanged",
        *start.words,
        env={name: value.reveal() for name, value in start.env.items()},
        timeout=_TIMEOUT_S,
    )
    try:
        facts = parse_facts(connection.name, reply, asked, time.time())
    except HostUnfitError:
        facts = None
    if reply.ok:
        return StartAnswer(facts=facts)
    changed = dict(reply.records()).get("changed", "")
    if reply.code != status.CHANGED or not changed:
        raise StateUnknownError(
            connection.name,
            f"unexpected answer to the launch: {reply.message}",
            hint=f"whether it runs: mlcube-remote attach {start.run_id}",
        )
    return StartAnswer(changed=changed, facts=facts)
