# SPDX-License-Identifier: Apache-2.0
"""The user's Kerberos ticket: whether there is one, and what to do if a login needs one.

Only ``klist`` knows where the tickets are: in a file, in the kernel or with a daemon.
"""

from __future__ import annotations

import enum
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Iterable

import attrs

from mlcube_remote.inventory.endpoint import Endpoint

_KLIST_TIMEOUT_S = 5.0

_ANSWER_LASTS_S = 10.0
"""Seconds for which an answer of ``klist`` is used for further hosts."""


class Ticket(enum.Enum):
    """What ``klist`` says about the user's ticket."""

    VALID = "valid"
    EXPIRED = "expired"
    NONE = "none"
    """There is no ticket, or no ``klist``."""


def has_ticket() -> bool:
    """Ask ``klist`` whether the user has a ticket that has not expired."""
    klist = shutil.which("klist")
    return klist is not None and _succeeds(klist, "-s")


@attrs.define
class TicketCheck:
    """Asks ``klist`` once for many hosts that are connected at the same time."""

    _answer: bool = attrs.field(default=False, init=False)
    _asked: float | None = attrs.field(default=None, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def has_ticket(self) -> bool:
        """Return whether the user had a valid ticket a few seconds ago."""
        with self._lock:
            now = time.monotonic()
            if self._asked is None or now - self._asked > _ANSWER_LASTS_S:
                self._answer, self._asked = has_ticket(), now
            return self._answer


def find_ticket() -> Ticket:
    """Ask ``klist`` for the user's ticket."""
    if has_ticket():
        return Ticket.VALID
    klist = shutil.which("klist")
    # Without options, expired tickets are listed too.
    return Ticket.EXPIRED if klist is not None and _succeeds(klist) else Ticket.NONE


def _succeeds(*command: str) -> bool:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_KLIST_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def add_ticket_hint(hint: str, endpoint: Endpoint, methods: Iterable[str]) -> str:
    """Return a hint for a refused login, with what to do about the Kerberos ticket.

    Args:
        hint: What else the user can do.
        endpoint: The server.
        methods: The methods of login that it accepts.

    Returns:
        ``hint`` alone if the server or ssh_config does without Kerberos.
    """
    if not endpoint.may_use_kerberos or not any(each.startswith("gssapi") for each in methods):
        return hint
    ticket = find_ticket()
    if ticket is Ticket.EXPIRED:
        return f"your Kerberos ticket has expired; get a new one: kinit\notherwise: {hint}"
    if ticket is Ticket.VALID:
        shown = f"ssh -v {shlex.quote(endpoint.alias)}"
        return f"see why the host refused your Kerberos ticket: {shown}\notherwise: {hint}"
    # Many hosts say that they accept Kerberos, and only some of their users have it.
    return f"{hint}\nif you have Kerberos, get a ticket: kinit"
