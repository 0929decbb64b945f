# SPDX-License-Identifier: Apache-2.0
"""Logins that are kept, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any

from mlcube_remote.errors import MLCubeRemoteError
from mlcube_remote.events.documents import error_document
from mlcube_remote.formatting import readable_duration
from mlcube_remote.transport.kept_logins import KeptLogin, format_time


def login_text(host: str, login: KeptLogin, *, is_new: bool) -> str:
    """Return a line that says as whom a host is logged in, and until when."""
    state = "logged in" if is_new else "is logged in already"
    kept = readable_duration(round(login.idle_s))
    until = format_time(login.until)
    return f"{host}: {state} as {login.address}, until {until} (each use adds {kept})"


def login_document(login: KeptLogin) -> dict[str, Any]:
    """Return a login as JSON."""
    until = datetime.fromtimestamp(login.until, timezone.utc)
    return {
        "host": login.host,
        "address": login.address,
        "until": until.isoformat(timespec="seconds"),
    }


def logins_document(
    results: Iterable[tuple[str, KeptLogin | None, MLCubeRemoteError | None]],
) -> dict[str, Any]:
    """Return the logins to hosts as JSON; one that failed has an error, and no address.

    Args:
        results: Of each host the name, the login, and why there is none.
    """
    nothing = {"address": None, "until": None}
    return {
        "logins": [
            {
                **(nothing if login is None else login_document(login)),
                "host": host,
                "error": None if error is None else error_document(error),
            }
            for host, login, error in results
        ]
    }
