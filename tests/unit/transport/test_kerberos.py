# SPDX-License-Identifier: Apache-2.0
"""What is said about the Kerberos ticket if a login is refused."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import pytest

from mlcube_remote.errors import AuthenticationError
from mlcube_remote.inventory.model import HostKeys
from mlcube_remote.transport.kerberos import Ticket, TicketCheck, find_ticket
from mlcube_remote.transport.openssh_errors import explain_login
from tests.support.ssh_server import Lab, Serve

KLIST = {
    Ticket.VALID: "exit 0",
    Ticket.EXPIRED: '[ "${1-}" != -s ]',
    Ticket.NONE: 'echo "klist: No credentials cache found" >&2; exit 1',
}
HINTS = {
    Ticket.VALID: "see why the host refused your Kerberos ticket: ssh -v gpu01\n",
    Ticket.EXPIRED: "your Kerberos ticket has expired; get a new one: kinit\n",
    Ticket.NONE: "\nif you have Kerberos, get a ticket: kinit",
}


def put_klist(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """Put a ``klist`` first on the PATH."""
    klist = folder / "klist"
    klist.write_text(f"#!/bin/sh\n{script}\n")
    klist.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return klist


@pytest.fixture(params=Ticket)
def ticket(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Ticket:
    """Put a ``klist`` first that says so."""
    state: Ticket = request.param
    programs = tmp_path / "bin"
    programs.mkdir()
    put_klist(programs, monkeypatch, KLIST[state])
    return state


def test_the_ticket_is_what_klist_says(ticket: Ticket) -> None:
    assert find_ticket() is ticket


def test_without_klist_there_is_no_ticket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    assert find_ticket() is Ticket.NONE


def test_klist_is_asked_once_for_many_hosts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = tmp_path / "asked"
    put_klist(tmp_path, monkeypatch, f"echo x >>'{asked}'; sleep 0.1")
    check = TicketCheck()
    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(lambda _: check.has_ticket(), range(8)))
    assert asked.read_text() == "x\n"


def test_a_later_host_is_not_told_of_an_old_ticket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    klist = put_klist(tmp_path, monkeypatch, "exit 0")
    check = TicketCheck()
    assert check.has_ticket()
    klist.unlink()
    assert check.has_ticket()
    later = time.monotonic() + 60
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert not check.has_ticket()


METHODS = ("publickey", "gssapi-keyex", "gssapi-with-mic")


def test_a_login_that_paramiko_is_refused_names_the_ticket(
    lab: Lab, serve: Serve, ticket: Ticket
) -> None:
    server = serve(methods=METHODS)

    for files in ((), (str(lab.identity),)):
        with pytest.raises(AuthenticationError, match="login as me refused") as caught:
            lab.log_in(
                server,
                HostKeys.ACCEPT_NEW,
                may_use_kerberos=True,
                identity_files=files,
                alias="gpu01",
            )

        assert HINTS[ticket] in (caught.value.hint or "")
        assert "ssh-copy-id" in (caught.value.hint or "")


def test_a_login_that_ssh_is_refused_names_the_ticket(lab: Lab, ticket: Ticket) -> None:
    endpoint = lab.endpoint(22, may_use_kerberos=True, alias="gpu01")
    message = "me@gpu01: Permission denied (publickey,gssapi-with-mic)."

    problem = explain_login("h1", endpoint, message)

    assert isinstance(problem, AuthenticationError)
    assert HINTS[ticket] in (problem.hint or "")


@pytest.mark.parametrize("ticket", [Ticket.EXPIRED], indirect=True)
def test_the_ticket_is_not_named_if_a_side_does_without_kerberos(lab: Lab, ticket: Ticket) -> None:
    endpoint = lab.endpoint(22, may_use_kerberos=True, alias="gpu01")
    never = attrs.evolve(endpoint, may_use_kerberos=False)

    for target, methods in ((endpoint, "publickey"), (never, "publickey,gssapi-with-mic")):
        problem = explain_login("h1", target, f"me@gpu01: Permission denied ({methods}).")

        assert isinstance(problem, AuthenticationError)
        assert "Kerberos" not in (problem.hint or "")
        assert ticket.value not in (problem.hint or "")
