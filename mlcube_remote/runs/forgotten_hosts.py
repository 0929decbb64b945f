# SPDX-License-Identifier: Apache-2.0
"""The hosts that a user does not want to be asked any longer.

::

    $XDG_STATE_HOME/mlcube-remote/forgotten-hosts.json     host → its last run until then

Runs that were started on a host later make it known again.
"""

from __future__ import annotations

from collections.abc import Mapping

from mlcube_remote.directories import state_home
from mlcube_remote.runs.documents import damaged_record, read_document, write_document
from mlcube_remote.runs.locks import exclusive

_FILE = "forgotten-hosts.json"


def read_forgotten() -> Mapping[str, str]:
    """Return host → the id of its last run when it was forgotten; sorted ids are in order of time.

    Raises:
        RecordError: The list is damaged, or a newer mlcube-remote has written it.
    """
    path = state_home() / _FILE
    hosts = (read_document(path) or {}).get("hosts", {})
    if not isinstance(hosts, dict):
        raise damaged_record(path, "no list of hosts")
    return {str(name): str(run_id) for name, run_id in hosts.items()}


def forget(host: str, last_run: str) -> None:
    """Add a host, and the id of its last run, to the list.

    Raises:
        RecordError: The list cannot be written.
    """
    with exclusive("forgotten-hosts"):
        write_document(
            state_home() / _FILE,
            {"hosts": {**read_forgotten(), host: last_run}},
            failed="the host cannot be forgotten",
            root=state_home(),
            indent=1,
        )
