# SPDX-License-Identifier: Apache-2.0
"""The command line: what it imports, what it refuses, what it prints."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from mlcube_remote._version import __version__
from mlcube_remote.cli import main as cli_main
from mlcube_remote.errors import MLCubeRemoteError


def exit_of(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["mlcube-remote", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli_main.main()
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["run", "--help"], ["status", "--help"], ["ps", "--help"], ["--version"]],
)
def test_help_is_quick_because_it_imports_little(arguments: list[str]) -> None:
    script = (
        "import sys; sys.argv = ['x', *sys.argv[1:]]\n"
        "from mlcube_remote.cli.main import execute\n"
        "execute()\n"
        "heavy = {'paramiko', 'omegaconf', 'rich', 'yaml', 'fabric'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_it_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mlcube_remote", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"mlcube-remote, version {__version__}\n"


REFUSED = {
    ("run", "--task=one"): "no host is named: expected --host=NAME",
    ("run", "--host=local"): "expected --task; the cube has several tasks: one, two",
    ("run", "--host=local", "--task=one", "--gpus=-1"): "--gpus=-1: expected a number, all, or dev",
    ("run", "--host=local", "--task=one", "--shard=a=1,2", "--shard=a=3"): "--shard: is given 2 t",
    ("run", "--host=local", "--task=one", "--sweep-file=x", "--sweep-file=y"): (
        "--sweep-file: is given 2 times"
    ),
    ("run", "--host=local", "--task=one", "--retries=1"): "--retries: only jobs of --sweep or --sh",
    ("run", "--host=local", "--task=one", "--retry-on=task"): "--retry-on: only jobs of --sweep",
    ("run", "--host=local", "--task=one", "--where=gpu=a100"): "no host has a label 'gpu'",
    ("run", "--host=local", "--task=on"): "unknown task 'on' (did you mean 'one'?)",
    ("run", "--host=local", "--task=one", "b=1"): "unknown parameter 'b' of task one",
    ("run", "--host=local", "--task=one,one"): "--task: one is named twice",
    ("run", "--host=local", "--task=one", "loose"): "unexpected argument 'loose': expected NAME=V",
    (
        "run",
        "--host=local",
        "--task=one",
        "--env=NOPE_NOT_SET",
    ): "--env NOPE_NOT_SET: not set in this shell",
    ("run", "--host=local", "--task=one", "a=gone.txt"): "input .*gone.txt does not exist",
    ("run", "--host=local", "--task=one", "--mlcube=/no/where"): "/no/where: no such file",
    ("run", "--host=local", "--task=one", "-Pdocker.imag=x"): "did you mean 'image'",
    ("run", "--host=local", "--task=one", "--gpus=1", "--platform=dokcer"): "unknown platform",
    ("hosts", "show", "absent"): "host 'absent' is not in hosts.yaml or ~/.ssh/config",
    ("hosts", "check"): "no host was checked: there is no inventory",
    ("hosts", "check", "all"): "'all': no inventory found",
}


@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
def test_a_usage_error_is_one_line_with_exit_code_2(
    cube: Path,
    arguments: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert exit_of(*arguments, monkeypatch=monkeypatch) == 2
    err = capsys.readouterr().err
    first = err.splitlines()[0]
    assert first.startswith("error: ")
    expected = REFUSED[arguments]
    assert expected in first or all(part in first for part in expected.split(".*"))
    assert "Traceback" not in err


OWN = """
platforms:
  big: {runner: docker, --memory: 64g, docker: sudo docker}
  here: {runner: remote, host: local, platform: big}
  there: {runner: remote, host: gpu, inventory: INVENTORY}
  again: {runner: remote, platform: here}
  wrong:
    runner: docker
    --memry: 1
"""


@pytest.fixture
def own(cube: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (cube / "lab.yaml").write_text("hosts: {gpu: {platform: docker}, spare: {}}")
    path = cube / "own.yaml"
    path.write_text(OWN.replace("INVENTORY", str(cube / "lab.yaml")))
    monkeypatch.setenv("MLCUBE_SYSTEM_SETTINGS", str(path))
    return path


@pytest.mark.parametrize(
    ("arguments", "host", "engine"),
    [
        (["--host=local", "--platform=big"], "local", "sudo docker run --memory=64g"),
        (["--platform=here"], "local", "sudo docker run --memory=64g"),
        (["--platform=here", "--memory=1g"], "local", "sudo docker run --memory=1g"),
        (["--platform=there"], "gpu", "docker run"),
        (["--platform=there", "--host=spare"], "spare", "docker run"),
    ],
)
def test_a_platform_can_come_from_the_users_file(
    own: Path,
    arguments: list[str],
    host: str,
    engine: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ("run", "--task=two", "--dry-run", "--output=json", *arguments)
    assert exit_of(*command, monkeypatch=monkeypatch) == 0
    (task,) = json.loads(capsys.readouterr().out)["jobs"]
    assert task["host"] == host
    assert " ".join(task["run"][-1]).startswith(engine)


@pytest.mark.parametrize(
    ("platform", "expected"),
    [
        ("again", "own.yaml:6:3: platforms.again: platform: here is itself remote"),
        ("wrong", "own.yaml:9:5: platforms.wrong.--memry: unknown key (did you mean '--memory'?)"),
        ("huge", "local: --platform: unknown platform 'huge'"),
    ],
)
def test_an_error_in_the_users_platform_is_one_line_with_exit_code_2(
    own: Path,
    platform: str,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ("run", "--task=two", "--host=local", f"--platform={platform}")
    assert exit_of(*command, monkeypatch=monkeypatch) == 2
    assert capsys.readouterr().err.splitlines()[0] == f"error: {expected}"


def test_platforms_are_completed(own: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mlcube_remote"],
        env={
            **os.environ,
            "_MLCUBE_REMOTE_COMPLETE": "bash_complete",
            "COMP_WORDS": "mlcube-remote run --platform h",
            "COMP_CWORD": "3",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "plain,here\n"


def test_an_unknown_command_gets_the_nearest_as_a_suggestion(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_of("rnu", monkeypatch=monkeypatch) == 2
    assert "Did you mean 'run'?" in capsys.readouterr().err
    assert exit_of("zzz", monkeypatch=monkeypatch) == 2


def test_describe_shows_tasks_and_platforms(
    cube: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_of("describe", monkeypatch=monkeypatch) == 0
    text = capsys.readouterr().out
    assert "task one" in text
    assert "input  a  a.txt  (file)" in text
    assert exit_of("describe", "--output=json", monkeypatch=monkeypatch) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["platforms"] == {"docker": "example/x"}


def test_hosts_are_listed_and_shown(
    cube: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (cube / "hosts.yaml").write_text("hosts: {a: {address: 10.0.0.1, user: ada}}")
    assert exit_of("hosts", "list", monkeypatch=monkeypatch) == 0
    assert "10.0.0.1" in capsys.readouterr().out
    assert exit_of("hosts", "list", "--output=json", monkeypatch=monkeypatch) == 0
    assert json.loads(capsys.readouterr().out)["hosts"][0]["name"] == "a"
    assert exit_of("hosts", "show", "a", "local", monkeypatch=monkeypatch) == 0
    assert "  user: ada" in capsys.readouterr().out
    assert exit_of("hosts", "show", "a", "--output=json", monkeypatch=monkeypatch) == 0
    assert json.loads(capsys.readouterr().out)["hosts"][0]["address"] == "10.0.0.1"


def test_a_dry_run_prints_commands(
    cube: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("run", "--host=local", "--task=one", "--dry-run")
    assert exit_of(*arguments, monkeypatch=monkeypatch) == 0
    assert f"mkdir -p {cube}/workspace/o" in capsys.readouterr().out
    assert exit_of(*arguments, "--output=json", monkeypatch=monkeypatch) == 0
    (job,) = json.loads(capsys.readouterr().out)["jobs"]
    assert job["configure"] == [["docker", "pull", "example/x"]]
    assert exit_of("configure", "--host=local", "--dry-run", monkeypatch=monkeypatch) == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_printed(
    shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_of("completion", shell, monkeypatch=monkeypatch) == 0
    assert "_MLCUBE_REMOTE_COMPLETE" in capsys.readouterr().out


ENDINGS = {
    "a bug": (ValueError("odd"), 70, "a bug in mlcube-remote"),
    "no reader": (BrokenPipeError(), 141, ""),
    "an abort": (click.exceptions.Abort(), 130, "interrupted"),
    "an error": (MLCubeRemoteError("wrong", hint="do"), 1, "error: wrong\nhint: do"),
}


@pytest.mark.parametrize("what", ENDINGS)
def test_each_kind_of_error_has_an_exit_code(
    what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error, code, message = ENDINGS[what]

    def fail(_: list[str] | None) -> int:
        raise error

    monkeypatch.setattr(cli_main, "run", fail)
    assert exit_of(monkeypatch=monkeypatch) == code
    assert message in capsys.readouterr().err


def test_passwords_are_prompted_once_and_never_shown(
    cube: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts: list[str] = []

    def prompt(text: str, **_: object) -> str:
        prompts.append(text)
        return "hunter2"

    monkeypatch.setattr(click, "prompt", prompt)
    (cube / "hosts.yaml").write_text("hosts: {a: {address: 127.0.0.1, port: 1}}")
    arguments = ("run", "--host=a", "--task=one", "--ask-password", "--ask-passphrase")
    assert exit_of(*arguments, monkeypatch=monkeypatch) == 120
    assert prompts == ["Login password", "Passphrase of the private keys"]
    shown = capsys.readouterr()
    assert "hunter2" not in shown.out + shown.err


@pytest.mark.parametrize("option", ["--ask-password", "--ask-passphrase"])
def test_a_password_that_nobody_can_type_is_no_interrupt(option: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mlcube_remote", "login", "me@127.0.0.1:1", option],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,  # without the terminal of the tests
    )
    assert done.returncode == 2, done.stderr
    assert f"error: {option}: expected an answer on a terminal" in done.stderr
    assert "interrupted" not in done.stderr


@pytest.mark.parametrize("option", ["--events", "--junit"])
def test_a_report_file_must_be_writable_before_a_run_starts(option: str, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent" / "file"):
        with pytest.raises(click.UsageError, match=r"directory"):
            cli_main.run(["run", "--host=a", f"{option}={path}"])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "--xyzzy"], "error: No such option '--xyzzy'.\nhint: mlcube-remote run --help\n"),
        (
            ["diff"],
            "error: Missing argument 'RUN'.\nhint: mlcube-remote diff --help\n",
        ),
        (
            ["rnu"],
            "error: No such command 'rnu'. Did you mean 'run'?\nhint: mlcube-remote --help\n",
        ),
        (
            ["queue"],
            "error: No such command 'queue'.\nhint: mlcube-remote ps\n",
        ),
        (
            ["cp", "a", "b"],
            (
                "error: No such command 'cp'.\nhint: outputs: mlcube-remote pull RUN; "
                "other files: mlcube-remote exec RUN -- cat FILE > FILE\n"
            ),
        ),
        (
            ["logs", "--no-follow"],
            (
                "error: No such option '--no-follow'.\n"
                "hint: omit --follow; mlcube-remote logs --help\n"
            ),
        ),
        (
            ["run", "--no-wait"],
            (
                "error: No such option '--no-wait'. Did you mean --detach?\n"
                "hint: mlcube-remote run --help\n"
            ),
        ),
        (
            ["run", "--limit=gpu01"],
            (
                "error: No such option '--limit'. Did you mean --host?\n"
                "hint: mlcube-remote run --help\n"
            ),
        ),
        (
            ["run", "--port=22"],
            (
                "error: No such option '--port'. Did you mean --host=USER@HOST:PORT?\n"
                "hint: mlcube-remote run --help\n"
            ),
        ),
        (
            ["run", "--private-key=x"],
            (
                "error: No such option '--private-key'.\n"
                "hint: set identity_file in hosts.yaml, or IdentityFile in ~/.ssh/config\n"
            ),
        ),
        (
            ["run", "--pasword"],
            (
                "error: No such option '--pasword'. Did you mean --ask-password?\n"
                "hint: mlcube-remote run --help\n"
            ),
        ),
        (
            ["describe", "examples/mnist"],
            (
                "error: Got unexpected extra argument (examples/mnist)\n"
                "hint: the cube is an option: --mlcube=PATH; mlcube-remote describe --help\n"
            ),
        ),
        (
            ["trust", "--mlcube=examples/mnist"],
            (
                "error: No such option '--mlcube'.\n"
                "hint: the directory of the cube is an argument: mlcube-remote trust PATH; "
                "mlcube-remote trust --help\n"
            ),
        ),
        (
            ["hosts", "top", "--json"],
            (
                "error: No such option '--json'. Did you mean --output=json?\n"
                "hint: mlcube-remote hosts top --help\n"
            ),
        ),
        (
            ["sandbox", "up", "--hosts"],
            (
                "error: Option '--hosts' requires an argument.\n"
                "hint: mlcube-remote sandbox up --help\n"
            ),
        ),
        (
            ["run", "--sample=0"],
            (
                "error: Invalid value for '--sample': 0: expected at least 1.\n"
                "hint: mlcube-remote run --help\n"
            ),
        ),
        (
            ["sandbox", "up", "--hosts=99"],
            (
                "error: Invalid value for '--hosts': 99: expected 1 to 64.\n"
                "hint: mlcube-remote sandbox up --help\n"
            ),
        ),
    ],
)
def test_a_wrong_command_line_is_reported_like_other_errors(
    arguments: list[str],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert exit_of(*arguments, monkeypatch=monkeypatch) == 2
    assert capsys.readouterr().err == expected


def test_help_is_shown_without_a_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_of(monkeypatch=monkeypatch) == 2
    assert capsys.readouterr().err.startswith("Usage: mlcube-remote")


LONG = "x" * 300
ODD_STREAMS = {
    "results list >/dev/full": (1, "error: standard output: No space left on device"),
    "hosts list -o json >/dev/full": (1, "error: standard output: No space left on device"),
    "--version >/dev/full": (1, "error: standard output: No space left on device"),
    "results list >&-": (0, ""),
    "--version 2>&-": (0, ""),
    "run --host=nowhere --task=one <&- >&- 2>&-": (2, ""),
    f"describe --mlcube={LONG}": (1, f"error: {LONG}: File name too long"),
    f"run --host=local --task=one a={LONG}": (1, "File name too long"),
}


@pytest.mark.usefixtures("cube")
@pytest.mark.parametrize("line", ODD_STREAMS, ids=lambda line: line[:40])
def test_what_the_system_refuses_is_no_bug(line: str) -> None:
    program = shlex.join([sys.executable, "-m", "mlcube_remote"])
    done = subprocess.run(
        ["sh", "-c", f"{program} {line}"], capture_output=True, text=True, check=False, timeout=60
    )
    code, message = ODD_STREAMS[line]
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert message in done.stderr if message else not done.stderr


@pytest.mark.parametrize("line", ["run --host=local --task=one", "init x", "ps"])
def test_a_current_directory_that_was_removed(line: str, tmp_path: Path) -> None:
    program = shlex.join([sys.executable, "-m", "mlcube_remote"])
    done = subprocess.run(
        ["sh", "-c", f"mkdir gone && cd gone && rmdir ../gone && {program} {line}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.splitlines() == [
        "error: the current directory was removed",
        "hint: change to a directory that exists: cd",
    ]


def test_a_closed_pipe_is_no_failed_job(cube: Path) -> None:
    """Click ends with 1 then, which would say that a job had failed."""
    script = "from mlcube_remote.cli.main import main; main()"
    argv = [sys.executable, "-c", script, "describe", "--mlcube", str(cube)]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        argv,
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_an_interrupt_while_the_program_is_imported_prints_nothing() -> None:
    script = (
        "import os, signal, sys\n"
        "class Interrupts:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'click': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupts())\n"
        "from mlcube_remote.cli.entry import main\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")
