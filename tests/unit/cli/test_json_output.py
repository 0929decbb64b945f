# SPDX-License-Identifier: Apache-2.0
"""``--output=json``: which commands have it, and that standard output is one document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest

from mlcube_remote.cli.main import cli, execute
from mlcube_remote.runs.store import RUN, Store

WITHOUT = {
    "completion",
    "exec",
    "logs",
    "schema",
    "shell",
}
"""Commands that print no facts, as docs/reference/json.md says."""


def formats_of(group: click.Group, path: str = "") -> dict[str, set[str]]:
    """Return each command and the values that its ``--output`` takes."""
    found: dict[str, set[str]] = {}
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            found |= formats_of(command, f"{path}{name} ")
        elif command is not None:
            options = {option: each for each in command.params for option in each.opts}
            choices = getattr(getattr(options.get("--output"), "type", None), "choices", ())
            found[f"{path}{name}"] = set(choices)
    return found


def document_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    execute(list(arguments))
    return json.loads(capsys.readouterr().out)


def test_each_command_that_prints_facts_can_print_json() -> None:
    formats = formats_of(cli)
    assert {name for name, choices in formats.items() if "json" not in choices} == WITHOUT
    assert all("text" in choices for choices in formats.values() if choices)


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        (["run", "--host=a", "--task=t", "--dry-run"], {"jobs"}),
        (["hosts", "list"], {"inventory", "hosts", "groups", "logins"}),
        (["hosts", "show", "a"], {"hosts"}),
        (["ps"], {"hosts"}),
        (["hosts", "top"], {"hosts"}),
        (["hosts", "disk"], {"hosts"}),
        (["clean", "--cubes"], {"dry_run", "hosts"}),
        (["hosts", "check", "local"], {"client", "hosts"}),
        (["describe"], {"name", "description", "root", "workspace", "platforms", "tasks"}),
        (["trust"], {"cube", "requests"}),
        (["trust", "--forget"], {"forgotten"}),
        (["init", "new"], {"cube", "files", "task"}),
        (["results", "list"], {"runs"}),
        (["logout"], {"hosts"}),
    ],
)
@pytest.mark.usefixtures("cube_directory")
def test_standard_output_is_one_document_with_a_version(
    arguments: list[str], keys: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    document = document_of(capsys, *arguments, "-o", "json")
    assert document.pop("version") == 1
    assert document.keys() == keys


@pytest.mark.usefixtures("cube_directory")
def test_the_results_of_a_run_are_documents(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run_id = document_of(capsys, "run", "--host=a", "--task=t", "--output=json")["run"]
    shown = document_of(capsys, "results", "show", "last", "--output=json")
    assert (shown["version"], shown["run"]) == (1, run_id)
    assert document_of(capsys, "results", "show", "last", "--json") == shown
    (tmp_path / "copy.json").write_text(json.dumps(shown))
    both = document_of(capsys, "results", "show", run_id, "copy.json", "-o", "json")
    assert (both["version"], len(both["runs"])) == (1, 2)
    assert document_of(capsys, "verify", "last", "-o", "json") == {"version": 1, "findings": []}
    assert document_of(capsys, "diff", "last", "last", "--json")["differences"] == []
    page = document_of(capsys, "report", "last", "-o", "json")
    assert (tmp_path / page["path"]).is_file()
    assert document_of(capsys, "pull", "last", "-o", "json")["run"] == run_id


@pytest.mark.usefixtures("cube_directory")
def test_what_was_forgotten_or_removed_is_a_document(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, host = "261123-190233-" + "b" * 16, "10.0.0.1"
    Store().write(run_id, RUN, {"jobs": [{"host": host, "job": f"{run_id}-x"}]})
    Store().write(run_id, f"{run_id}-x", {"status": "succeeded", "host": host})
    answer = document_of(capsys, "hosts", "forget", host, "--output=json")
    assert answer == {"version": 1, "forgotten": host}
    monkeypatch.setattr("mlcube_remote.sandbox.lifecycle.down", lambda **_: ("sandbox1",))
    answer = document_of(capsys, "sandbox", "down", "--output=json")
    assert answer == {"version": 1, "removed": ["sandbox1"]}


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["run", "--output=json", "--host=nowhere", "--task=t"], "'nowhere' is not in", 2),
        (["run", "--output", "json", "--xyzzy"], "No such option '--xyzzy'.", 2),
        (["pull", "-o", "json"], "no run was started on this machine", 2),
        (["verify", "--json", "x"], "no results of a run 'x'", 2),
        (["describe", "-o", "json", "--mlcube=/no/where"], "/no/where: no such file", 2),
    ],
)
@pytest.mark.usefixtures("cube_directory")
def test_an_error_is_a_document_too(
    arguments: list[str], message: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(arguments) == code
    answer = capsys.readouterr()
    document = json.loads(answer.out)
    assert document["version"] == 1
    assert message in document["error"]["message"]
    assert document["error"]["exit_code"] == code
    assert answer.err.startswith("error: ")


@pytest.mark.usefixtures("cube_directory")
def test_a_bug_is_a_document_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlcube_remote.app.request.load_cube", lambda _: 1 // 0)
    assert execute(["describe", "--output=json"]) == 70
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "Unexpected"


@pytest.mark.usefixtures("cube_directory")
def test_what_comes_after_two_dashes_asks_for_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["exec", "last", "--", "status", "--output=json"]) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("empty_directory")
def test_a_check_without_an_inventory_checks_this_machine(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert execute(["hosts", "check", "-o", "json"]) == 2
    answer = capsys.readouterr()
    document = json.loads(answer.out)
    assert document["hosts"] == []
    assert {each["name"] for each in document["client"]["checks"]} >= {"ssh", "rsync"}
    assert "hint: name one that ssh knows: mlcube-remote hosts check NAME" in answer.err


@pytest.mark.usefixtures("cube_directory")
def test_a_rerun_of_nothing_is_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    run_id = document_of(capsys, "run", "--host=a", "--task=t", "--output=json")["run"]
    document = document_of(capsys, "rerun", "last", "--job=b", "--output=json")
    assert document["error"]["message"] == f"run {run_id} has no job 'b'"
