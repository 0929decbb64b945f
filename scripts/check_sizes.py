# SPDX-License-Identifier: Apache-2.0
"""Fail if a file, class or function of the package is larger than agreed in CONTRIBUTING.md."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

FILE, CLASS, FUNCTION = 350, 150, 50
"""Maximum number of lines; the docstring of a function does not count, nor do parameters after the
first: a public function may have an option for each of the command line's."""


def oversized(path: Path) -> Iterator[str]:
    """Yield a line for each part of ``path`` that is too large."""
    text = path.read_text(encoding="utf-8")
    lines = len(text.splitlines())
    if lines > FILE:
        yield f"{path}: {lines} lines; at most {FILE}"
    if path.suffix != ".py":
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef):
            most = CLASS
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            most = FUNCTION
        else:
            continue
        first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
        size = (node.end_lineno or first) - first + 1
        if not isinstance(node, ast.ClassDef):
            size -= _docstring_lines(node) + _parameter_lines(node)
        if size > most:
            yield f"{path}:{node.lineno}: {node.name}: {size} lines; at most {most}"


def _docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    if ast.get_docstring(node) is None:
        return 0
    return (node.body[0].end_lineno or 0) - node.body[0].lineno + 1


def _parameter_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    lines = {each.lineno for each in (*node.args.args, *node.args.kwonlyargs)}
    return max(len(lines) - 1, 0)


def main(folders: list[str]) -> int:
    """Check all Python and shell files below ``folders``; return the exit code."""
    files = sorted(
        path
        for folder in folders
        for path in Path(folder).rglob("*")
        if path.suffix in {".py", ".sh"}
    )
    problems = [problem for path in files for problem in oversized(path)]
    print(*problems, sep="\n", file=sys.stderr, end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["mlcube_remote"]))
