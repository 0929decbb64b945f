# SPDX-License-Identifier: Apache-2.0
"""The completion scripts in real shells. The completed words: test_completed_words.py."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from mlcube_remote.cli import COMPLETE
from mlcube_remote.cli.main import execute
from mlcube_remote.runs.store import RUN, Store

LINES = {
    "run --platform app": "run --platform apptainer",
    "run --platform=app": "run --platform=apptainer",
    "run --mlcube=. --task=on": "run --mlcube=. --task=one",
    "run --host local,gp": "run --host local,gpu1",
    "run --host=local,gp": "run --host=local,gpu1",
    "run --mlcube=cub": "run --mlcube=cubes/",
    "run --mlcube=nowh": "run --mlcube=nowh",
    "run --detac": "run --detach",
    "run --task=one siz": "run --task=one size=",
    "run --sweep momen": "run --sweep momentum=",
    "run --sweep=momen": "run --sweep=momentum=",
    "logs night": "logs nightly",
    "logs nightly/0": "logs nightly/03",
    "logs nightly --job=0": "logs nightly --job=03",
    "hosts check gp": "hosts check gpu1",
}
"""Typed line → completed line."""

TYPE_IN_ZSH = r"""
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'PS1=; autoload -U compinit; compinit -u -D; eval "$(mlcube-remote completion zsh)"'
zpty -w shell 'shown() { print -r -- "GO""T<$BUFFER>"; zle kill-buffer; }; zle -N shown'
zpty -w shell 'bindkey "^G" shown; print rea""dy'
zpty -r shell reply '*ready*'
for line in "$@"; do
    zpty -w -n shell "$line"$'\t\a'
    zpty -r shell reply '*GOT<*>*'
    print -r -- "$reply"
done
"""

TYPE_IN_BASH = """
eval "$(mlcube-remote completion bash)"
compopt() { :; }
for line in "$@"; do
    read -ra COMP_WORDS <<< "${line//=/ = }"
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    COMPREPLY=()
    _mlcube_remote_completion mlcube-remote
    printf '%s\n' "${COMPREPLY[*]}"
done
"""

TYPE_IN_FISH = """
mlcube-remote completion fish | source
for line in $argv
    complete -C $line
end
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mlcube.yaml").write_text(
        "docker: {image: x}\n"
        "tasks: {one: {parameters: {inputs: {size: s.txt, settings: s.yaml}}}}\n"
    )
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace/s.yaml").write_text("momentum: 0.9\n")
    jobs = [{"name": "03", "host": None}]
    Store(tmp_path / "state/mlcube-remote/runs").write(
        "261123-191722-cnc5kgw4xkneu7ml", RUN, {"name": "nightly", "jobs": jobs}
    )
    (tmp_path / "hosts.yaml").write_text("hosts: {gpu1: {}}")
    (tmp_path / "cubes").mkdir()
    return tmp_path


def typed(
    argv: list[str],
    folder: Path,
    lines: Iterable[str] = LINES,
    programs: Path = Path(sys.executable).parent,
) -> str:
    """Return the output of a shell that completes the lines; its errors are shown with it."""
    done = subprocess.run(
        [*argv, *(f"mlcube-remote {line}" for line in lines)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=True,
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(folder),
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CONFIG_HOME": str(folder / "config"),
        },
    )
    return done.stdout


def test_zsh_completes_values_after_an_equals_sign(folder: Path) -> None:
    output = typed(["zsh", "-f", "-c", TYPE_IN_ZSH, "zsh"], folder)
    found = [text.rstrip() for text in re.findall(r"GOT<(.*?)>", output)]
    assert found == [f"mlcube-remote {line}" for line in LINES.values()]


def test_fish_completes_values_after_an_equals_sign(folder: Path) -> None:
    output = typed(["fish", "--no-config", "-c", TYPE_IN_FISH, "--"], folder)
    found = [line.partition("\t")[0] for line in output.splitlines()]
    # fish prints only the last word of a line.
    assert found == [new.rpartition(" ")[2] for old, new in LINES.items() if old != new]


def test_bash_gets_the_last_word_after_an_equals_sign(folder: Path) -> None:
    lines = ["run --host=local,gp", "run --task=one siz", "run --sweep=momen", "logs nightly/0"]
    output = typed(["bash", "--norc", "-c", TYPE_IN_BASH, "bash"], folder, lines)
    assert output.splitlines() == ["local,gpu1", "size=", "momentum=", "nightly/03"]


@pytest.mark.parametrize("start", ["size=", "size=s", "--sweep momentum=", "--sweep=momentum="])
def test_the_value_of_a_parameter_is_no_place_for_its_name(folder: Path, start: str) -> None:
    lines = [f"run --task=one {start}", f"run --task=one {start}0.1 siz"]
    output = typed(["bash", "--norc", "-c", TYPE_IN_BASH, "bash"], folder, lines)
    assert output.splitlines() == ["", "size="]


@pytest.mark.parametrize(
    "argv",
    [
        ["bash", "--norc", "-c", TYPE_IN_BASH, "bash"],
        ["zsh", "-f", "-c", TYPE_IN_ZSH, "zsh"],
        ["fish", "--no-config", "-c", TYPE_IN_FISH, "--"],
    ],
    ids=lambda argv: argv[0],
)
def test_an_interrupted_completion_prints_nothing(folder: Path, argv: list[str]) -> None:
    programs = folder / "bin"
    programs.mkdir()
    real = Path(sys.executable).parent / "mlcube-remote"
    (programs / "mlcube-remote").write_text(
        f'#!/bin/sh\n[ "$1" = completion ] && exec {real} "$@"\necho Traceback >&2\nexit 130\n'
    )
    (programs / "mlcube-remote").chmod(0o755)
    output = typed(argv, folder, ["run --hos"], programs)
    assert "Traceback" not in output


@pytest.mark.parametrize("problem", [KeyboardInterrupt(), OSError("disk"), ValueError()])
def test_the_program_prints_nothing_if_a_completion_fails(
    problem: BaseException,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> None:
        raise problem

    monkeypatch.chdir(folder)
    monkeypatch.setattr("mlcube_remote.app.inventory.open_inventory", fail)
    monkeypatch.setenv(COMPLETE, "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "mlcube-remote run --host gp")
    monkeypatch.setenv("COMP_CWORD", "3")
    assert execute([]) == 1
    assert capsys.readouterr() == ("", "")
