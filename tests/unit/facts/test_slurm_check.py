# SPDX-License-Identifier: Apache-2.0
"""``hosts check`` says what a cluster offers, and what of the inventory does not fit it."""

from __future__ import annotations

from typing import Any

import pytest

from mlcube_remote.facts.check_result import CheckResult
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
    return check_slurm(connection, host)


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
