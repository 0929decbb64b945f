# SPDX-License-Identifier: Apache-2.0
"""The connection that a job has left serves the host's next one."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from mlcube_remote.dispatch.journal import Journal
from mlcube_remote.dispatch.line import Line
from mlcube_remote.dispatch.run import Run
from mlcube_remote.errors import StateUnknownError, TransferError, UnreachableError
from mlcube_remote.inventory.model import Host
from mlcube_remote.transport.base import Connection, Reply
from mlcube_remote.transport.fake import FakeConnection

GPU, CPU = Host(name="gpu"), Host(name="cpu")
ALIVE = Reply(0, b"boot", b"")


@attrs.define
class Dials:
    """Makes a connection whenever it is asked to."""

    made: list[FakeConnection] = attrs.field(factory=list)

    def __call__(self, host: Host, _note: Callable[[str], None]) -> Connection:
        connection = FakeConnection(host.name)
        connection.answer("mlcr_print_boot_id", ALIVE)
        self.made.append(connection)
        return connection


@pytest.fixture
def dials() -> Dials:
    return Dials()


@pytest.fixture
def run(dials: Dials) -> Run:
    return Run(connect=dials, sink=lambda _: None, keeps=True)


def note(_: str) -> None:
    """Take no note."""


def test_each_job_has_one_for_itself_and_the_next_one_takes_what_is_left(
    run: Run, dials: Dials
) -> None:
    first, second = run.connection(GPU, note), run.connection(GPU, note)
    assert first is not second
    run.keep(first)
    assert run.connection(CPU, note) is not first
    assert run.connection(GPU, note) is first
    assert run.connection(GPU, note) is not first
    assert not any(each.is_closed for each in dials.made)


def test_one_that_has_died_meanwhile_is_dialled_anew(run: Run, dials: Dials) -> None:
    """Else a job would wait for its host's return, where it could go to another one."""
    left = FakeConnection("gpu")
    left.answer("mlcr_print_boot_id", StateUnknownError("gpu", "connection lost"))
    run.keep(left)
    assert run.connection(GPU, note) is dials.made[0]
    assert left.is_closed

    def down(*_: object) -> Connection:
        raise UnreachableError("gpu", "no route")

    run.connect = down
    run.keep(left)
    with pytest.raises(UnreachableError):
        run.connection(GPU, note)


@pytest.mark.parametrize("end", ["stop", "leave", "hang_up"])
def test_nothing_is_kept_for_jobs_that_will_not_come(run: Run, dials: Dials, end: str) -> None:
    kept = run.connection(GPU, note)
    used = run.connection(GPU, note)
    run.keep(kept)
    getattr(run, end)()
    run.keep(used)
    run.hang_up()
    assert all(each.is_closed for each in dials.made)


def test_where_each_host_has_one_job_its_connection_is_closed_at_once(dials: Dials) -> None:
    run = Run(connect=dials, sink=lambda _: None)
    run.keep(run.connection(GPU, note))
    assert dials.made[0].is_closed


def line_on(connection: Connection) -> Line:
    journal = Journal(host="gpu", began=0.0, sink=lambda _: None)
    return Line(connection=connection, dial=lambda: connection, journal=journal)


def test_a_job_that_went_wrong_leaves_no_connection(run: Run, dials: Dials) -> None:
    with (
        pytest.raises(TransferError),
        line_on(run.connection(GPU, note)).until_done(run.keep),
    ):
        raise TransferError("gpu", "it broke off")
    line = line_on(run.connection(GPU, note))
    with line.until_done(run.keep):
        line.close()  # as an interrupt does, while the job ends well
    assert [each.is_closed for each in dials.made] == [True, True]
    with line_on(run.connection(GPU, note)).until_done(run.keep):
        pass
    assert run.connection(GPU, note) is dials.made[2]
