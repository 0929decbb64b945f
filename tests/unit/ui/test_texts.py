# SPDX-License-Identifier: Apache-2.0
"""What reaches a terminal or a program: lines, tables, documents, errors, dry runs."""

from __future__ import annotations

import io
import itertools
import json
import os
import shlex
import subprocess
from pathlib import Path
from unittest import mock

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcube_remote.errors import UnreachableError, UsageError
from mlcube_remote.events.outcome import JobOutcome, PulledOutput, Status, TaskOutcome
from mlcube_remote.facts.check import CheckResult, HostCheck
from mlcube_remote.inventory.endpoint import Endpoint
from mlcube_remote.inventory.load import load
from mlcube_remote.inventory.model import LOCAL_HOST, Host
from mlcube_remote.plan.planned_task import PlannedTask
from mlcube_remote.secret import Secret
from mlcube_remote.ui import hosts
from mlcube_remote.ui.document import dump, run_document
from mlcube_remote.ui.dryrun import command_line, dry_run_document, dry_run_text
from mlcube_remote.ui.errors import print_error, report_crash
from mlcube_remote.ui.summary import print_summary, summary
from mlcube_remote.ui.text import MAX_LINE, LineAssembler, sanitise


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünï\ttab", "plain ünï\ttab"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]52;c;ZXZpbA==\x07after", "after"),
        ("\x1b]0;title\x1b\\after", "after"),
        ("\x1b]0;unended", ""),
        ("\x1b]0;unended\nnext line", "\nnext line"),
        ("\u061cevil", "\\u061cevil"),
        ("\udcc2\udc9b31m", "\\xc2\\x9b31m"),
        ("\ud800", "\\ud800"),
        ("\x9b31mred", "red"),
        ("bell\x07", "bell\\x07"),
        ("a\rb", "a\\x0db"),
        ("\u202eevil", "\\u202eevil"),
        ("\udcff", "\\xff"),
        ("\x1b", ""),
        ("two\nlines", "two\nlines"),
    ],
)
def test_nothing_that_a_terminal_obeys_is_left(text: str, shown: str) -> None:
    assert sanitise(text) == shown


@given(
    st.text(st.characters(exclude_categories=[]) | st.sampled_from("\x1b\x9b[]m;\x07\udcc2\udc9b"))
)
def test_no_control_character_survives(text: str) -> None:
    left = sanitise(text)
    assert not any(ord(c) < 32 and c not in "\t\n" for c in left)
    assert not any(0x7F <= ord(c) < 0xA0 for c in left)
    left.encode()


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=6))
def test_lines_do_not_depend_on_how_bytes_are_cut(data: bytes, cuts: list[int]) -> None:
    whole = LineAssembler()
    expected = whole.feed(data) + whole.finish()
    pieces = LineAssembler()
    found: list[str] = []
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(edges):
        found += pieces.feed(data[start:end])
    assert found + pieces.finish() == expected


@given(st.text(st.sampled_from("ab\r\né"), max_size=80), st.lists(st.integers(0, 90), max_size=9))
def test_long_lines_are_cut_alike_however_bytes_come(text: str, cuts: list[int]) -> None:
    data = text.encode()
    with mock.patch("mlcube_remote.ui.text.MAX_LINE", 7):
        whole = LineAssembler()
        expected = whole.feed(data) + whole.finish()
        pieces = LineAssembler()
        found: list[str] = []
        edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
        for start, end in itertools.pairwise(edges):
            found += pieces.feed(data[start:end])
        found += pieces.finish()
    assert found == expected
    assert all(len(line) <= 7 for line in found)


def test_a_long_line_that_ends_like_on_windows_is_not_lost() -> None:
    lines = LineAssembler()
    shown = [*lines.feed(b"x" * (MAX_LINE + 9) + b"\r"), *lines.feed(b"\n")]
    assert "".join(shown) == "x" * (MAX_LINE + 9)


def test_the_unfinished_line_can_be_looked_at() -> None:
    lines = LineAssembler()
    lines.feed(b"done\n1%\r2%\r")
    assert lines.unfinished == "2%"
    lines.feed(b"3")
    assert lines.unfinished == "3"
    lines.feed(b"\n")
    assert lines.unfinished == ""


def test_progress_bars_leave_their_last_state() -> None:
    lines = LineAssembler()
    assert lines.feed(b"10%\r50%\r100%\r\ndone\nrest") == ["100%", "done"]
    assert lines.finish() == ["rest"]
    assert lines.finish() == []


def test_a_line_without_end_is_shown_in_pieces() -> None:
    lines = LineAssembler()
    shown = [line for _ in range(10) for line in lines.feed(b"x" * MAX_LINE)]
    assert sum(map(len, shown)) + sum(map(len, lines.finish())) == 10 * MAX_LINE
    bar = LineAssembler()
    for index in range(100):
        assert bar.feed(b"\r" + b"%d" % index + b"=" * 2000) == []
    assert bar.finish()[0].startswith("99=")


def outcome(host: str = "gpu01", **changes: object) -> JobOutcome:
    values: dict[str, object] = {
        "host": host,
        "platform": "docker",
        "status": Status.FAILED,
        "tasks": (
            TaskOutcome(task="get", status=Status.SUCCEEDED, exit_code=0, seconds=1.0),
            TaskOutcome(task="train", status=Status.FAILED, exit_code=3, reason="no\x1b[1m luck"),
        ),
        "seconds": {"connect": 0.25, "run": 3.5},
        "outputs": (PulledOutput(task="get", name="data", path=Path.cwd() / "workspace/data"),),
    }
    return JobOutcome(**(values | changes))  # type: ignore[arg-type] # by name


def test_the_table_has_a_row_for_each_task() -> None:
    stream = io.StringIO()
    print_summary([outcome(), outcome("gpu02", tasks=(), outputs=())], stream)
    text = stream.getvalue()
    assert text.splitlines()[1:4] == [
        "host   task   result     exit  connect  run",
        "gpu01  get    succeeded  0     0.2      3.5",
        "       train  failed     3",
    ]
    assert "gpu01: train: no luck" in text
    assert "  gpu01: data: workspace/data" in text


def test_many_outputs_are_listed_by_folder() -> None:
    outputs = tuple(
        PulledOutput(task="t", name=f"o{n}", path=Path(f"/x/results/run/h/deep/{n}"))
        for n in range(20)
    )
    assert summary([outcome(outputs=outputs)]).endswith("outputs:\n  gpu01: /x/results/run/h")


def test_an_output_of_several_tasks_is_listed_once_as_the_last_of_them_left_it() -> None:
    first = PulledOutput(task="get", name="o", path=Path("/x/o"))
    second = PulledOutput(task="train", name="o", path=Path("/x/o"), is_partial=True)
    text = summary([outcome(outputs=(first, second))])
    assert text.endswith("outputs:\n  gpu01: o: /x/o (incomplete)")


def test_the_document_is_json_whatever_the_names() -> None:
    error = UnreachableError("gpu01", "no route", hint="mend it")
    odd = PulledOutput(task="t", name="o", path=Path("/x/\udcff"))
    stream = io.StringIO()
    dump(run_document("run-id", [outcome(error=error, outputs=(odd,))], 120), stream)
    stream.getvalue().encode("ascii")
    document = json.loads(stream.getvalue())
    (job,) = document["jobs"]
    assert (document["version"], document["run"], document["exit_code"]) == (1, "run-id", 120)
    assert document["status"] == "failed"
    assert job["error"] == {
        "kind": "Unreachable",
        "message": "gpu01: no route",
        "hint": "mend it",
        "exit_code": 120,
    }
    assert job["tasks"][1]["exit_code"] == 3
    assert job["outputs"][0]["path"] == "/x/\udcff"


def test_errors_are_a_line_and_a_hint() -> None:
    stream = io.StringIO()
    print_error(UnreachableError("h", "gone\x1b[2J", hint="first\nsecond"), stream)
    assert stream.getvalue() == "error: h: gone\nhint: first\n      second\n"


def test_no_line_of_an_error_poses_as_another() -> None:
    stream = io.StringIO()
    print_error(UsageError("odd\nerror: forged", hint="\x1b[0m"), stream)
    assert stream.getvalue() == "error: odd\n       error: forged\nhint: \n"


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([Status.SUCCEEDED, Status.SUCCEEDED], "succeeded"),
        ([Status.SUCCEEDED, Status.UNKNOWN], "unknown"),
        ([Status.FAILED, Status.UNKNOWN], "failed"),
        ([Status.CANCELLED], "failed"),
    ],
)
def test_a_run_that_may_go_on_is_not_called_failed(statuses: list[Status], expected: str) -> None:
    document = run_document("r", [outcome(status=status) for status in statuses], 1)
    assert document["status"] == expected


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.delenv("NO_COLOR", raising=False)
    print_error(UnreachableError("h", "gone"), stream)
    assert "\x1b[31merror:" in stream.getvalue()
    plain = Terminal()
    monkeypatch.setenv("NO_COLOR", "1")
    print_error(UnreachableError("h", "gone"), plain)
    assert "\x1b" not in plain.getvalue()


def test_a_bug_is_kept_in_a_private_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    stream = io.StringIO()
    report_crash(ValueError("odd \udcff"), stream)
    (kept,) = (tmp_path / "mlcube-remote/crashes").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert "ValueError: odd" in kept.read_text()
    assert str(kept) in stream.getvalue()
    monkeypatch.setenv("MLCUBE_REMOTE_DEBUG", "1")
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    report_crash(ValueError("odd"), stream)
    assert "run it again with MLCUBE_REMOTE_DEBUG=1" in stream.getvalue()


PLANNED = PlannedTask(
    host="h",
    platform="docker",
    task="t",
    configure=(("docker", "pull", "x"),),
    run=(("docker", "run", "~/a b/$(id):/io", "it's", "x", "--v=\n"),),
    creates=("~/a b",),
    launch=("--name", "n"),
)


def test_a_dry_run_can_be_pasted(tmp_path: Path) -> None:
    text = dry_run_text([PLANNED], {"h": ["sync a to b"]})
    assert text.startswith("# h (docker)\n# sync a to b\n")
    line = command_line(PLANNED.run[0])
    assert line in text
    script = f'docker() {{ printf "%s\\0" "$@"; }}\n{line}\n'
    done = subprocess.run(
        ["sh", "-c", script], env={"HOME": "/home/me"}, capture_output=True, check=True
    )
    words = done.stdout.decode().split("\0")[:-1]
    assert words == ["run", "/home/me/a b/$(id):/io", "it's", "x", "--v=\n"]
    assert command_line(("~/",)) == "~/"
    (job,) = dry_run_document([PLANNED])["jobs"]
    assert job["run"] == [list(PLANNED.run[0])]
    assert list(job) == ["host", "platform", "task", "configure", "run", "creates", "launch"]
    deep = attrs.evolve(PLANNED, creates=("/", "/a", "/a/b", "/a/b/c", "/a/bc"))
    assert "\nmkdir -p /a/b/c /a/bc\n" in dry_run_text([deep], {}), "what is above is made, too"
    assert dry_run_document([deep])["jobs"][0]["creates"] == [*deep.creates]
    (job,) = dry_run_document([attrs.evolve(PLANNED, job="07")])["jobs"]
    assert job["job"] == "07"


def test_a_dry_run_of_configure_tells_of_no_task() -> None:
    planned = attrs.evolve(PLANNED, task=None, run=(), creates=(), launch=())
    text = dry_run_text([planned], {})
    assert text == "# h (docker)\n# configure:\ndocker pull x"
    (job,) = dry_run_document([planned])["jobs"]
    assert (job["task"], job["run"]) == (None, [])


def test_a_note_of_a_dry_run_stays_a_comment() -> None:
    text = dry_run_text([PLANNED], {"h": ["sync a\nrm -rf b"]})
    assert "# sync a\\nrm -rf b\n" in text


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["C"]))))
def test_other_words_are_quoted_for_any_shell(words: list[str]) -> None:
    tame = [word for word in words if not word.startswith("~/")]
    assert shlex.split(command_line(tuple(tame))) == tame


@pytest.mark.parametrize(
    "word",
    [
        "\x1b[31m it's",
        "a\udcffb",
        "\x07\n\n",
        "\n\x07",
        "\u202e",
        "100%\x01\\n",
        "~/\x1b'",
        "~/~/a",
    ],
)
def test_words_that_would_steer_a_terminal_are_spelt_out(word: str) -> None:
    line = command_line((word,))
    assert not set(line.replace("\n", "")) & set("\x1b\x07\x01\u202e\udcff")
    done = subprocess.run(
        ["sh", "-c", f"printf '%s.' {line}"], env={"HOME": "/h"}, capture_output=True, check=True
    )
    meant = "/h" + word[1:] if word.startswith("~/") else word
    assert done.stdout == os.fsencode(meant) + b"."


def test_hosts_are_shown_without_their_secrets(tmp_path: Path) -> None:
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


def test_settings_of_a_host_are_shown_as_they_are_written() -> None:
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


def test_a_checkup_tells_what_to_type() -> None:
    failed = CheckResult(
        name="engine", passed=False, detail="missing", hint="apt install\nthen again"
    )
    checkup = HostCheck(
        host="h",
        checks=(CheckResult(name="rsync", passed=True, detail="3.2.7"), failed),
        exit_code=122,
    )
    assert hosts.checkup_text([checkup]).splitlines() == [
        "h: NOT READY",
        "  ok   rsync   3.2.7",
        "  FAIL engine  missing",
        "               → apt install",
        "               → then again",
    ]
    (answer,) = hosts.checkup_document([checkup])["hosts"]
    assert answer["ready"] is False
    assert [check["passed"] for check in answer["checks"]] == [True, False]
