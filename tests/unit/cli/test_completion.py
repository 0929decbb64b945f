# SPDX-License-Identifier: Apache-2.0
"""The completion scripts in real shells. The completed words: test_completed_words.py."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

LINES = {
    "run --platform app": "run --platform apptainer",
    "run --platform=app": "run --platform=apptainer",
    "run --mlcube=. --task=on": "run --mlcube=. --task=one",
    "run --host local,gp": "run --host local,gpu1",
    "run --host=local,gp": "run --host=local,gpu1",
    "run --mlcube=cub": "run --mlcube=cubes/",
    "run --mlcube=nowh": "run --mlcube=nowh",
    "run --detac": "run --detach",
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

TYPE_IN_FISH = """
mlcube-remote completion fish | source
for line in $argv
    complete -C $line
end
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mlcube.yaml").write_text("docker: {image: x}\ntasks: {one: }\n")
    (tmp_path / "hosts.yaml").write_text("hosts: {gpu1: {}}")
    (tmp_path / "cubes").mkdir()
    return tmp_path


def typed(argv: list[str], folder: Path) -> str:
    """Return the output of a shell that completes the lines."""
    lines = [f"mlcube-remote {line}" for line in LINES]
    done = subprocess.run(
        [*argv, *lines],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
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
