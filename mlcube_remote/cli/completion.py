# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote completion``: print the script that a shell evaluates when it starts."""

from __future__ import annotations

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ZshComplete,
    add_completion_class,
    get_completion_class,
)

from mlcube_remote.cli import COMPLETE
from mlcube_remote.cli.help import HelpfulCommand

_BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' line kind value
    # Whatever an interrupted completion prints is not for the user's prompt.
    while IFS= read -r line; do
        kind=${line%%%%,*} value=${line#*,}
        case $kind in
        dir) COMPREPLY=(); compopt -o dirnames ;;
        file) COMPREPLY=(); compopt -o default ;;
        plain) COMPREPLY+=("$value"); [[ $value == *= ]] && compopt -o nospace ;;
        esac
    done < <(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD="$COMP_CWORD" \\
        %(complete_var)s=bash_complete "$1" 2>/dev/null)
    return 0
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""


@add_completion_class
class _Bash(BashComplete):
    """Joins words that bash splits: ``--host=gpu`` and ``size=s.txt`` are three words in bash."""

    source_template = _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        args, incomplete = super().get_completion_args()
        words: list[str] = []
        for word in (*args, incomplete):
            if words and (word == "=" or words[-1].endswith("=")):
                words[-1] += word
            else:
                words.append(word)
        return words[:-1], words[-1]


_ZSH = """\
#compdef %(prog_name)s

%(complete_func)s() {
    local kind value help
    local -a found described
    (( $+commands[%(prog_name)s] )) || return 1
    found=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) \\
        %(complete_var)s=zsh_complete %(prog_name)s 2>/dev/null)}")
    # Keep what is before the value; without this the value would replace it.
    [[ $PREFIX == --*=* ]] && compset -P 1 '*='
    for kind value help in $found; do
        case $kind in
        dir) _path_files -/ ;;
        file) _path_files -f ;;
        plain) if [[ $value == *= ]]; then compadd -V values -S '' -- "$value"
            elif [[ $help == _ ]]; then compadd -V values -- "$value"
            else described+=("${value//:/\\\\:}:$help"); fi ;;
        esac
    done
    (( $#described )) && _describe -V options described
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""

_FISH = """\
function %(complete_func)s
    set -l found (env COMP_WORDS=(commandline -cp) COMP_CWORD=(commandline -t) \\
        %(complete_var)s=fish_complete %(prog_name)s 2>/dev/null)
    # What is before the value is part of the word that fish completes.
    set -l before (string match --regex -- '^--[^=]+=' (commandline -t))
    for line in $found
        # A value may hold commas: hosts do.
        set -l item (string split --max 1 ',' -- $line)
        switch $item[1]
            case dir
                for path in (__fish_complete_directories $item[2])
                    echo "$before$path"
                end
            case file
                for path in (__fish_complete_path $item[2])
                    echo "$before$path"
                end
            case plain
                echo "$before$item[2]"
        end
    end
end

complete --no-files --command %(prog_name)s --arguments '(%(complete_func)s)'
"""


@add_completion_class
class _Zsh(ZshComplete):
    """Completes ``--host=gpu``, which is one word in zsh."""

    source_template = _ZSH

    def format_completion(self, item: CompletionItem) -> str:
        return f"{item.type}\n{item.value}\n{item.help or '_'}"


@add_completion_class
class _Fish(FishComplete):
    """Completes ``--host=gpu``, which is one word in fish, and lists of hosts."""

    source_template = _FISH

    def format_completion(self, item: CompletionItem) -> str:
        return f"{item.type},{item.value}" + (f"\t{item.help}" if item.help else "")


@click.command(cls=HelpfulCommand)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell. To use it, add one of the lines below to its file.

    It completes commands, options, hosts, tasks, parameters, runs and jobs.
    """
    root = click.get_current_context().find_root().command
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click knows all three
    click.echo(kind(root, {}, "mlcube-remote", COMPLETE).source())
