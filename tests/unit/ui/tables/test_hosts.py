# SPDX-License-Identifier: Apache-2.0
"""Hosts and their checks are printed without secrets."""

from __future__ import annotations

import json
from pathlib import Path

from mlcube_remote.facts.check_result import CheckResult, HostCheck
from mlcube_remote.inventory.endpoint import Endpoint
from mlcube_remote.inventory.load import load
from mlcube_remote.inventory.model import LOCAL_HOST, Host
from mlcube_remote.secret import Secret
from mlcube_remote.ui.tables import hosts


def test_hosts_are_printed_without_their_secrets(tmp_path: Path) -> None:
    (tmp_path / "hosts.yaml").write_text(
        "hosts: {a: {address: x, env: {T: hidden}, labels: {gpu: v}}}\ngroups: {g: a}"
    )
    inventory = load(tmp_path / "hosts.yaml")
    text = hosts.hosts_text(inventory)
    assert text.splitlines()[2].split() == ["a", "x", "g", "gpu=v"]
    document = hosts.hosts_document(inventory)
    assert document["groups"] == {"g": ["a"]}
    endpoint = Endpoint(
        hostname="x", port=22, user="u", user_known_hosts_files=("/k",), proxy_command="nc"
    )
    shown = hosts.host_text(inventory.hosts["a"], endpoint)
    assert "  user: u" in shown
    assert "  env: T" in shown
    assert "  connect_timeout: 10\n  keepalive: 15\n" in shown
    assert "hidden" not in shown + text + json.dumps(document)
    assert "T" in hosts.host_document(Host(name="b", env={"T": Secret("x")}), None)["env"]


def test_settings_of_a_host_are_printed_as_in_the_inventory() -> None:
    settings = {"docker": {"docker": "sudo docker", "env_args": {"A": 1, "B": "x"}}}
    host = Host(name="a", labels={"gpu": "a100", "cuda": "12.10"}, settings=settings)
    lines = hosts.host_text(host, None).splitlines()
    assert "  labels: gpu=a100 cuda=12.10" in lines
    assert "  docker.docker: sudo docker" in lines
    assert "  docker.env_args: A=1 B=x" in lines
    assert hosts.host_text(LOCAL_HOST, None).splitlines() == [
        "local",
        "  connection: local",
        "  remote_root: ~/.mlcube-remote",
        "  slots: 1",
        "  gpus: auto",
    ]


def test_a_failed_check_is_printed_with_its_hint() -> None:
    failed = CheckResult(
        name="engine", passed=False, detail="missing", hint="apt install\nthen again"
    )
    checkup = HostCheck(
        host="h",
        checks=(CheckResult(name="rsync", passed=True, detail="3.2.7"), failed),
        exit_code=122,
    )
    assert hosts.checks_text([checkup]).splitlines() == [
        "h: NOT READY",
        "  ok   rsync   3.2.7",
        "  FAIL engine  missing",
        "               → apt install",
        "               → then again",
    ]
    (answer,) = hosts.checks_document([checkup])["hosts"]
    assert answer["ready"] is False
    assert [check["passed"] for check in answer["checks"]] == [True, False]


def test_the_checks_of_this_machine_come_first() -> None:
    checkup = HostCheck(host="h", checks=(CheckResult(name="ssh", passed=True, detail="x"),))
    client = HostCheck(
        host="this machine", checks=(CheckResult(name="rsync", passed=True, detail="3.2.7"),)
    )
    first, second, *_ = hosts.checks_text([checkup], client=client).splitlines()
    assert (first, second) == ("this machine: ok", "  ok   rsync  3.2.7")
    document = hosts.checks_document([checkup], client=client)
    assert document["client"]["ready"] is True
    assert len(document["hosts"]) == 1
