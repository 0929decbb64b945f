# SPDX-License-Identifier: Apache-2.0
"""Commands on earlier runs, as far as no host answers: attach, logs, ps, status, results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlcube_remote.cli import terminal
from mlcube_remote.cli.main import run
from mlcube_remote.cli.option_groups import Display
from mlcube_remote.cli.ps import list_exit_code
from mlcube_remote.errors import UnreachableError, UsageError
from mlcube_remote.inventory.model import Host
from mlcube_remote.jobs.lookup import find_on_hosts
from mlcube_remote.jobs.query import HostJobs
from mlcube_remote.runs.results_index import write_index
from mlcube_remote.runs.store import RUN, Store


def record(run_id: str) -> None:
    Store().write(run_id, RUN, {"jobs": [{"host": "gpu", "job": f"{run_id}-gpu"}]})


@pytest.mark.usefixtures("empty_directory")
@pytest.mark.parametrize("command", ["ps", "clean"])
def test_without_any_host_there_is_an_error(command: str) -> None:
    with pytest.raises(UsageError, match="no host to ask"):
        run([command])


@pytest.mark.usefixtures("empty_directory")
@pytest.mark.parametrize("command", ["attach", "wait", "logs", "status", "stop", "pull"])
def test_an_unknown_run_is_an_error(command: str) -> None:
    with pytest.raises(UsageError, match="no run 'abc' on this machine or on the hosts"):
        run([command, "abc"])


@pytest.mark.usefixtures("empty_directory")
def test_an_ambiguous_id_is_an_error() -> None:
    for letter in "ab":
        record(f"261123-190233-{letter * 16}")
    with pytest.raises(UsageError, match="is ambiguous: 261123-190233-b") as caught:
        run(["attach", "261123"])
    assert caught.value.hint == "give more characters of its id"


@pytest.mark.usefixtures("cube_directory")
def test_a_wrong_run_id_is_an_error() -> None:
    with pytest.raises(UsageError, match="--run-id=mine: not a run id"):
        run(["run", "--host=a", "--task=t", "--run-id=mine"])


@pytest.mark.usefixtures("cube_directory")
@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["status", "-v"], Display(quiet=True, verbose=True)),
        (["stop", "-v"], Display(verbose=True)),
        (["pull", "-q", "-v"], Display(quiet=True, verbose=True)),
        (["logs", "--gather"], Display(quiet=True, gather=True, ordered=True, only_prints=True)),
        (["logs", "--follow"], Display(quiet=True, only_prints=True)),
        (["wait"], Display(on_interrupt="ask")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_reach_the_display(
    command: list[str],
    expected: Display,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert run(["run", "--host=a", "--task=t", "--output=json"]) == 120
    run_id = json.loads(capsys.readouterr().out)["run"]
    shown: list[Display] = []
    show = terminal.on_terminal

    def on_terminal(display: Display) -> object:
        shown.append(display)
        return show(display)

    monkeypatch.setattr(terminal, "on_terminal", on_terminal)
    quick = ["--reconnect-timeout=1s"] if command == ["wait"] else []
    run([command[0], run_id, *command[1:], *quick])
    assert shown == [expected]


def record_results(run_id: str) -> None:
    for host, accuracy in (("a", 0.5), ("b", 0.9)):
        metrics = {"task": "t", "name": "m", "path": f"/o/{host}", "metrics": {"acc": accuracy}}
        known = {"host": host, "status": "succeeded", "exit_code": 0, "outputs": [metrics]}
        Store().write(run_id, f"{run_id}-{host}", known)


@pytest.mark.usefixtures("empty_directory")
def test_results_are_shown_without_asking_a_host(capsys: pytest.CaptureFixture[str]) -> None:
    run_id = "261123-190233-" + "b" * 16
    record_results(run_id)
    run(["results", "show", "261123", "--sort", "-acc"])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["host", "b", "a"]
    run(["results", "show", "bbbb", "--csv"])
    assert capsys.readouterr().out.splitlines()[0].endswith(",acc")
    run(["results", "show", run_id, "--json", "--sort=acc"])
    document = json.loads(capsys.readouterr().out)
    assert [job["host"] for job in document["jobs"]] == ["a", "b"]


def test_results_are_found_after_they_are_moved(
    empty_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record_results("261123-190233-" + "b" * 16)
    write_index("261123-190233-" + "b" * 16, Store(), empty_directory / "moved", print)
    for path in ("moved", "moved/results.json"):
        run(["results", "show", path])
        assert "0.9" in capsys.readouterr().out


@pytest.mark.usefixtures("empty_directory")
def test_unknown_and_ambiguous_results_are_different_errors() -> None:
    with pytest.raises(UsageError, match="no results of a run 'abc' on this machine") as caught:
        run(["results", "show", "abc"])
    assert "after 'clean', name their directory" in str(caught.value.hint)
    with pytest.raises(UsageError, match="no run was started on this machine"):
        run(["results", "show", "last"])
    for letter in "ab":
        record_results(f"261123-190233-{letter * 16}")
    with pytest.raises(UsageError, match="is ambiguous"):
        run(["results", "show", "261123"])


@pytest.mark.usefixtures("cube_directory")
@pytest.mark.parametrize("arguments", [["mine/b"], ["last/b"], ["--job=b"], ["mine", "--job=b"]])
def test_one_job_of_a_run_is_addressed(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["run", "--host=both", "--task=t", "--name=mine", "--quiet"]) == 120
    capsys.readouterr()
    assert run(["status", *arguments, "--output=json"]) == 120
    document = json.loads(capsys.readouterr().out)
    assert [job["host"] for job in document["jobs"]] == ["b"]


@pytest.mark.usefixtures("cube_directory")
def test_a_command_without_a_run_says_which_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", "--host=both", "--task=t", "--name=mine", "--quiet"]) == 120
    capsys.readouterr()
    run(["status"])
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith("run ")
    assert " (mine), started " in first
    with pytest.raises(UsageError, match="no run is known to be running"):
        run(["stop"])


@pytest.mark.usefixtures("cube_directory")
@pytest.mark.parametrize(
    "command", ["results show", "results show --csv", "report", "verify", "export --ro-crate=crate"]
)
def test_the_results_of_the_latest_run_need_no_name(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("first", "second"):
        run(["run", "--host=both", "--task=t", f"--name={name}", "--quiet"])
    capsys.readouterr()
    run(command.split())
    shown = capsys.readouterr()
    assert " (second), started " in shown.err.splitlines()[0]
    assert "(second)" not in shown.out, "it would be part of the document"


@pytest.mark.usefixtures("empty_directory")
@pytest.mark.parametrize("command", ["results show", "report", "verify", "export --ro-crate=crate"])
def test_a_machine_without_runs_has_no_results(command: str) -> None:
    with pytest.raises(UsageError, match="RUN is missing, and no run was started on this machine"):
        run(command.split())


@pytest.mark.usefixtures("cube_directory")
def test_logs_say_why_there_is_no_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", "--host=both", "--task=t", "--quiet"]) == 120
    capsys.readouterr()
    assert run(["logs", "last/a"]) == 120
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: a: 127.0.0.1:1 refused the connection")


@pytest.mark.usefixtures("empty_directory")
def test_the_last_run_of_a_machine_without_runs_is_an_error() -> None:
    with pytest.raises(UsageError, match="no run was started on this machine"):
        run(["logs", "last"])


@pytest.mark.usefixtures("cube_directory")
@pytest.mark.parametrize(
    ("arguments", "code"), [(["ps", "-H", "both"], 120), (["ps"], 120), (["ps", "-H", "a"], 120)]
)
def test_ps_fails_if_no_host_answers(
    arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == code
    assert "a: no answer: 127.0.0.1:1 refused the connection" in capsys.readouterr().out


def test_ps_without_names_fails_only_if_no_host_answers() -> None:
    silent = HostJobs(host=Host(name="b"), error=UnreachableError("b", "refused"))
    some = [HostJobs(host=Host(name="a")), silent]
    assert list_exit_code(some, is_named=False) == 0
    assert list_exit_code(some, is_named=True) == 120
    assert list_exit_code([silent], is_named=False) == 120


@pytest.mark.usefixtures("cube_directory")
def test_a_list_that_is_repeated_is_no_document() -> None:
    with pytest.raises(UsageError, match="--watch and --output=json"):
        run(["ps", "--watch", "--output=json"])


def test_a_misspelled_name_of_a_run_gets_a_suggestion() -> None:
    some = [HostJobs(host=Host(name="a"))]
    with pytest.raises(UsageError, match=r"no run 'swep-a' .* \(did you mean 'sweep-a'\?\)"):
        find_on_hosts("swep-a", some, Path, ["", "other", "sweep-a"])


def test_a_suggestion_comes_from_the_runs_of_this_machine(cube_directory: Path) -> None:
    assert run(["run", "--host=both", "--task=t", "--name=night-3", "--quiet"]) == 120
    with pytest.raises(UsageError, match=r"did you mean 'night-3'\?"):
        run(["status", "night-4", f"--inventory={cube_directory}/hosts.yaml"])
