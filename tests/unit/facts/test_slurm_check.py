# SPDX-License-Identifier: Apache-2.0
"""``hosts check`` says what a cluster offers, and what of the inventory does not fit it."""

from __future__ import annotations

from typing import Any

import pytest

from mlcube_remote.facts.check_result import CheckResult
from mlcube_remote.facts.node_check import check_compute_node
from mlcube_remote.facts.slurm_check import check_slurm
from mlcube_remote.inventory.model import Host, Launcher
from mlcube_remote.inventory.slurm import check
from mlcube_remote.transport.base import Reply
from mlcube_remote.transport.fake import FakeConnection
from tests.support.fake_jobs import records

SINFO = "main* up 7-00:00:00 2 (null)\ngpu down 1-00:00:00 16 gpu:a100:4(S:0-1)\n"


def checked(facts: dict[str, str], code: int = 0, **slurm: Any) -> tuple[CheckResult, ...]:
    connection = FakeConnection("login")
    connection.answer("mlcr_report_slurm", Reply(code, records(facts), b""))
    host = Host(name="login", launcher=Launcher.SLURM, slurm=check(slurm))
    return check_slurm(connection, host, "/scratch/ada")


def test_a_cluster_is_described() -> None:
    rows = checked({"version": "slurm-wlm 22.05.8", "partitions": SINFO})
    assert [(row.name, row.passed, row.detail) for row in rows] == [
        ("slurm", True, "slurm-wlm 22.05.8"),
        (
            "partition",
            True,
            "main* (2 nodes, 7-00:00:00), gpu (16 nodes, 1-00:00:00, gpu:a100:4(S:0-1), down)",
        ),
    ]


def test_a_missing_program_is_named() -> None:
    (row,) = checked({"missing": "squeue"}, code=127)
    assert (row.passed, row.detail) == (False, "squeue was not found")
    assert "launcher: slurm of login" in str(row.hint)


@pytest.mark.parametrize(
    ("problem", "detail"),
    [
        ("slurm_load_partitions: Unable\n", "slurm_load_partitions: Unable"),
        (" \n", "sinfo gives no answer"),
    ],
)
def test_a_controller_without_an_answer_fails_the_check(problem: str, detail: str) -> None:
    (row,) = checked({"version": "slurm 24.05.1", "problem": problem})
    assert (row.passed, row.detail) == (False, detail)


@pytest.mark.parametrize(
    ("partition", "passed"), [("gpu", True), ("main,gpu", True), ("main,gpux", False)]
)
def test_the_partition_of_the_inventory_must_exist(partition: str, passed: bool) -> None:
    _, row = checked({"version": "slurm 1", "partitions": SINFO}, partition=partition)
    assert row.passed is passed
    if not passed:
        assert row.detail == "gpux: no such partition, or not for you"
        assert row.hint == "choose one of: main, gpu"


@pytest.mark.parametrize(
    ("default", "slurm", "passed", "detail"),
    [
        ("ab0123", {}, True, "ab0123"),
        ("ab0123", {"account": "other"}, True, "other, as configured"),
        ("", {"account": "other"}, True, "other, as configured"),
        ("", {}, False, "no default account"),
    ],
)
def test_an_account_is_needed_where_there_is_an_accounting(
    default: str, slurm: Any, passed: bool, detail: str
) -> None:
    facts = {"version": "slurm 1", "partitions": SINFO, "account": default}
    _, _, row = checked(facts, **slurm)
    assert (row.name, row.passed, row.detail) == ("account", passed, detail)


@pytest.mark.parametrize(
    ("limits", "detail"),
    [
        (
            "ab0123||10|100|2-00:00:00\n",
            "ab0123: 10 running, 100 queued or running, 2-00:00:00 each",
        ),
        ("ab0123|gpu|2||\nab0123||||\n", "ab0123 in gpu: 2 running"),
    ],
)
def test_the_limits_of_the_accounts_are_shown(limits: str, detail: str) -> None:
    facts = {"version": "slurm 1", "partitions": SINFO, "account": "a", "limits": limits}
    row = checked(facts)[-1]
    assert (row.name, row.passed, row.detail) == ("limits", True, f"at most {detail}")


ENFORCED = {
    "version": "slurm 1",
    "partitions": SINFO,
    "account": "a",
    "limits": "a||3||\n",
    "qos_of": "normal,short\n",
    "qos": "normal|4|40|\nshort|1||1:00:00\nother|9|9|\nlast|||\n",
}


def test_the_limits_of_the_users_qos_are_shown() -> None:
    row = checked(ENFORCED)[-1]
    assert row.detail == (
        "at most a: 3 running; QOS normal: 4 running, 40 queued or running; "
        "QOS short: 1 running, 1:00:00 each"
    )


@pytest.mark.parametrize(
    ("slurm", "enforced", "failed"),
    [
        ({"account": "b", "qos": "other"}, "associations,limits,qos", ["account", "qos"]),
        ({"account": "b", "qos": "other"}, "associations", ["account"]),
        ({"account": "b", "qos": "other"}, "none", []),
        ({"account": "a", "qos": "short"}, "associations,limits,qos", []),
    ],
)
def test_what_slurm_would_refuse_fails_the_check(
    slurm: Any, enforced: str, failed: list[str]
) -> None:
    rows = checked({**ENFORCED, "enforced": enforced}, **slurm)
    refused = [row for row in rows if not row.passed]
    assert [row.name for row in refused] == failed
    hints = {"account": "choose one of: a", "qos": "choose one of: normal, short"}
    assert [row.hint for row in refused] == [hints[name] for name in failed]


def test_accounts_without_limits_have_no_row() -> None:
    facts = {"version": "slurm 1", "partitions": SINFO, "account": "a", "limits": "a||||\nodd\n"}
    assert [row.name for row in checked(facts)] == ["slurm", "partition", "account"]


LUSTRE = """\
/scratch  104857600       0 209715200       -   960000  0 1000000       -
"""
QUOTA = """\
Disk quotas for user ada (uid 1000):
     Filesystem  blocks   quota   limit   grace   files   quota   limit   grace
fs1:/home 20971520* 20971520 26214400 1767225600 4711 0 0 0
"""


@pytest.mark.parametrize(
    ("text", "passed", "detail"),
    [
        (LUSTRE, False, "960,000 of 1,000,000 files at /scratch used"),
        (LUSTRE.replace("960000", "1000"), True, "107.4 GB of 214.7 GB at /scratch used"),
        (
            LUSTRE.replace("/scratch  ", "/lustre/projects/scratch\n   "),
            False,
            "960,000 of 1,000,000 files at /lustre/projects/scratch used",
        ),
        (QUOTA, False, "21.5 GB of 21.5 GB at fs1:/home used"),
    ],
)
def test_a_quota_that_is_nearly_used_fails(text: str, passed: bool, detail: str) -> None:
    facts = {"version": "slurm 1", "partitions": SINFO, "quota": text}
    row = checked(facts)[-1]
    assert (row.name, row.passed, row.detail) == ("quota", passed, detail)


@pytest.mark.parametrize(
    "text", ["", "Disk quotas for user ada (uid 1000): none\n", "/s 1 0 0 - 2 0 0 -\n", "/s x\n"]
)
def test_what_is_no_quota_has_no_row(text: str) -> None:
    facts = {"version": "slurm 1", "partitions": SINFO, "quota": text}
    assert [row.name for row in checked(facts)] == ["slurm", "partition"]


@pytest.mark.parametrize(
    ("facts", "rows"),
    [
        (
            {"node": "n1", "sees": "yes", "writes": "yes", "engine": "apptainer version 1.4.5"},
            [
                ("compute node", True, "n1: apptainer version 1.4.5"),
                ("shared", True, "/scratch/ada is the same on n1"),
            ],
        ),
        (
            {"node": "n1", "sees": "no", "writes": "no", "engine": "sh: 1: apptainer: not found"},
            [
                ("compute node", False, "n1: sh: 1: apptainer: not found"),
                ("shared", False, "/scratch/ada is not the same on n1"),
            ],
        ),
        (
            {"problem": "srun: error: x\nsrun: error: Invalid account"},
            [("compute node", False, "srun: error: Invalid account")],
        ),
    ],
)
def test_a_compute_node_is_tried(facts: dict[str, str], rows: list[tuple[str, bool, str]]) -> None:
    connection = FakeConnection("login")
    connection.answer("mlcr_try_compute_node", Reply(0, records(facts), b""))
    host = Host(name="login", launcher=Launcher.SLURM, slurm=check({"modules": "apptainer"}))
    found = check_compute_node(connection, host, "/scratch/ada", "apptainer")
    assert [(row.name, row.passed, row.detail) for row in found] == rows


@pytest.mark.parametrize(
    ("answer", "passed", "detail"),
    [
        ("yes /local/7", True, "$TMPDIR is /local/7 on n1"),
        ("scratch: $TMPDIR is not set on n1", False, "$TMPDIR is not set on n1"),
        ("mkdir: /local: Permission denied", False, "mkdir: /local: Permission denied"),
        ("", False, "no answer about $TMPDIR"),
    ],
)
def test_the_disk_for_copies_is_tried(answer: str, passed: bool, detail: str) -> None:
    connection = FakeConnection("login")
    facts = {"node": "n1", "sees": "yes", "writes": "yes", "engine": "apptainer version 1"}
    told = {**facts, "scratch": answer} if answer else facts
    connection.answer("mlcr_try_compute_node", Reply(0, records(told), b""))
    host = Host(name="login", launcher=Launcher.SLURM, slurm=check({"scratch": "$TMPDIR"}))
    row = list(check_compute_node(connection, host, "/scratch/ada", "apptainer"))[-1]
    assert (row.name, row.passed, row.detail) == ("scratch", passed, detail)
    assert (row.hint is None) is passed
