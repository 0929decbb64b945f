# SPDX-License-Identifier: Apache-2.0
"""How busy hosts are: what they tell is read, and what they do not tell is not made up."""

from __future__ import annotations

import attrs
import pytest

from mlcube_remote.errors import HostUnfitError, UnreachableError
from mlcube_remote.facts.usage import HostUsage, read_usage, read_usage_of_all
from mlcube_remote.inventory.model import Host
from mlcube_remote.transport.base import Connection, Reply
from mlcube_remote.transport.fake import FakeConnection
from mlcube_remote.ui.tables.usage import usage_document, usage_text

HOST = Host(name="gpu01", slots=2)
RUN = "261124-030001-dl36na5ghujgymdd"
REPORT = [
    "load=0.52 0.58 0.59 2/1234 5678",
    "cpus=16",
    "memory=131072000",
    "available=65536000",
    "disk=1000000000",
    "free=250000000",
    "jobs=1",
    "gpu=0, GPU-a, NVIDIA H100 80GB HBM3, 81559, 1024, 37",
    "gpu=1, GPU-b, NVIDIA H100 80GB HBM3, 81559, 512, 99",
    "gpu=2, GPU-c, NVIDIA GB10, [N/A], [Not Supported], [N/A]",
    f"lease=GPU-a {RUN}-07.2-0123456789ab",
    "process=GPU-a 4711 root",
    "process=GPU-b 4712 bob",
    "process=GPU-b 4713 bob",
    "process=GPU-b 4714 ",
]


def parse_usage(*answer: str) -> HostUsage:
    connection = FakeConnection("gpu01")
    connection.answer(
        "mlcr_report_usage", Reply(0, "".join(f"{each}\0" for each in answer).encode(), b"")
    )
    return read_usage(connection, HOST)


def test_what_a_host_tells_is_read() -> None:
    answer = parse_usage(*REPORT)
    assert (answer.load, answer.cpus, answer.jobs, answer.slots) == (0.52, 16, 1, 2)
    assert (answer.memory, answer.memory_free) == (131072000 * 1024, 65536000 * 1024)
    assert (answer.disk, answer.disk_free) == (10**9 * 1024, 250 * 10**6 * 1024)
    first, second, third = answer.gpus
    assert (first.name, first.memory, first.memory_used) == (
        "NVIDIA H100 80GB HBM3",
        81559 * 2**20,
        2**30,
    )
    assert (first.busy, first.job, first.users) == (37, f"{RUN}-07.2-0123456789ab", ("root",))
    assert (second.job, second.users) == (None, ("bob", "?"))
    assert (third.memory, third.memory_used, third.busy) == (None, None, None)
    assert [gpu.is_free for gpu in answer.gpus] == [False, False, True]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        # What drivers answered for these fields, as published captures of 595.80 and 610.43.02 (in
        # MIG mode) have it; their UUIDs are masked.
        (
            "0, GPU-00000000-0000-0000-0000-000000000000, NVIDIA L40S, 46068, 1235, 9",
            ("NVIDIA L40S", 46068, 1235, 9),
        ),
        (
            "0, GPU-00000000-0000-0000-0000-000000000000, NVIDIA H200, 143771, 44, [N/A]",
            ("NVIDIA H200", 143771, 44, None),
        ),
    ],
)
def test_what_drivers_say_is_understood(
    line: str, expected: tuple[str, int, int, int | None]
) -> None:
    (gpu,) = parse_usage(f"gpu={line}").gpus
    name, memory, used, busy = expected
    assert (gpu.name, gpu.busy, gpu.uuid) == (name, busy, line.split(", ")[1])
    assert (gpu.memory, gpu.memory_used) == (memory * 2**20, used * 2**20)


def test_what_a_host_does_not_tell_is_not_made_up() -> None:
    assert parse_usage() == HostUsage(host="gpu01", slots=2)
    odd = parse_usage(
        "load=", "cpus=many", "memory=", "gpu=No devices were found", "process=", "lease="
    )
    assert odd == HostUsage(host="gpu01", slots=2)


def test_a_host_that_cannot_be_asked_is_an_answer_too() -> None:
    def connect(host: Host) -> Connection:
        if host.name == "gone":
            raise UnreachableError("gone", "no route")
        connection = FakeConnection(host.name)
        connection.answer("mlcr_report_usage", Reply(2, b"", b"sh: broken\n"))
        return connection

    gone, broken = read_usage_of_all([Host(name="gone"), HOST], connect)
    assert isinstance(gone.error, UnreachableError)
    assert isinstance(broken.error, HostUnfitError)
    assert "its usage could not be read: sh: broken" in str(broken.error)
    assert usage_text([gone]) == "gone: no answer: no route"


def test_people_get_tables() -> None:
    hosts, gpus = usage_text([parse_usage(*REPORT)]).split("\n\n")
    assert [" ".join(line.split()) for line in hosts.splitlines()] == [
        "host jobs slots load cpus memory free disk free gpus free",
        "gpu01 1 2 0.52 16 67.1 GB of 134.2 GB 256.0 GB of 1.0 TB 1 of 3",
    ]
    rows = [line.split("  ") for line in gpus.splitlines()]
    assert f"run {RUN} (07.2)" in rows[1][-1]
    assert rows[2][-1].strip() == "bob, ?"
    assert rows[3][-1].strip() == "-"


def test_programs_get_bytes() -> None:
    (host,) = usage_document([parse_usage(*REPORT)])["hosts"]
    assert host["memory"] == {"total": 131072000 * 1024, "free": 65536000 * 1024}
    assert host["error"] is None
    assert host["gpus"][0]["memory"] == {"total": 81559 * 2**20, "used": 2**30}
    assert host["gpus"][2]["busy_percent"] is None
    silent = attrs.evolve(HostUsage(host="x"), error=UnreachableError("x", "no route"))
    assert usage_document([silent])["hosts"][0]["error"]["exit_code"] == 120


@pytest.mark.parametrize("job", ["", "x", f"{RUN}-07", f"{RUN}--0123456789ab"])
def test_a_holder_that_is_no_job_is_shown_as_it_is(job: str) -> None:
    answer = parse_usage("gpu=0, GPU-a, T4, 1, 1, 1", f"lease=GPU-a {job}")
    assert (
        usage_text([answer])
        .rstrip()
        .endswith(job or "used by\ngpu01  0    T4     1.0 MB of 1.0 MB  1%")
    )


def test_gpus_that_the_inventory_leaves_out_are_not_free() -> None:
    connection = FakeConnection("gpu01")
    answer = [f"gpu={n}, GPU-{n}, NVIDIA H100, 81559, 0, 0" for n in range(3)]
    connection.answer(
        "mlcr_report_usage", Reply(0, "".join(f"{each}\0" for each in answer).encode(), b"")
    )
    found = read_usage(connection, attrs.evolve(HOST, gpus=("1", "GPU-2")))
    assert [gpu.is_free for gpu in found.gpus] == [False, True, True]
    text = usage_text([found])
    assert "2 of 3" in text
    assert text.count("not in the inventory's gpus") == 1
    (host,) = usage_document([found])["hosts"]
    assert [gpu["leasable"] for gpu in host["gpus"]] == [False, True, True]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_row_wraps_in_a_terminal(width: int) -> None:
    gone = HostUsage(host="gone", slots=1, error=UnreachableError("gone", "no route " * 30))
    lines = usage_text([parse_usage(*REPORT), gone], width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert any("gpus free" in line for line in lines)
    assert any("used by" in line for line in lines)
