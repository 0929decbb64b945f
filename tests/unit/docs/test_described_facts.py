# SPDX-License-Identifier: Apache-2.0
"""Pages list exactly the exit codes, states, messages and functions that the code has."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import mlcube_remote
from mlcube_remote.errors import MLCubeRemoteError
from mlcube_remote.events.exit_codes import PRECEDENCE
from mlcube_remote.events.outcome import Status

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"

SUCCESS, CLOSED_PIPE = 0, 141
"""Exit codes that belong to no error."""


def read(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def error_classes(root: type[MLCubeRemoteError]) -> Iterator[type[MLCubeRemoteError]]:
    yield root
    for each in root.__subclasses__():
        yield from error_classes(each)


def first_cells(table: str) -> list[str]:
    return re.findall(r"^\| `?([\w-]+)`? \|", table, re.MULTILINE)


def table_below(text: str, header: str) -> str:
    """Return the rows of the table with this header."""
    rows = text[text.index(header) :].split("\n\n", maxsplit=1)[0]
    return "\n".join(rows.splitlines()[2:])


def test_the_exit_codes_are_those_of_the_errors() -> None:
    page = read("reference/exit-codes.md")
    listed = [int(code) for code in first_cells(table_below(page, "| code | meaning |"))]
    codes = {each.exit_code for each in error_classes(MLCubeRemoteError)}
    assert listed == sorted({*codes, SUCCESS, CLOSED_PIPE})


def test_the_order_of_exit_codes_is_described() -> None:
    (order,) = re.findall(r"order: ([\d, ]+)\.", read("reference/exit-codes.md"))
    assert tuple(map(int, order.split(", "))) == (*PRECEDENCE, 1)


def test_troubleshooting_covers_every_exit_code() -> None:
    listed = first_cells(table_below(read("reference/exit-codes.md"), "| code | meaning |"))
    covered = first_cells(table_below(read("how-to/troubleshooting.md"), "| code | what to do |"))
    assert ["0", *covered] == listed


def test_the_states_of_a_job_are_those_that_hosts_report() -> None:
    page = read("reference/states.md")
    diagram = page[page.index("```mermaid") : page.index("\n```\n", page.index("```mermaid"))]
    states = {*re.findall(r"(\w+) -->", diagram), *re.findall(r"--> (\w+)", diagram)}
    shell = (ROOT / "mlcube_remote/remote/job_state.sh").read_text(encoding="utf-8")
    slurm = (ROOT / "mlcube_remote/remote/slurm.sh").read_text(encoding="utf-8")
    found = re.findall(r"\bmlcr_job_state=([a-z]+)", shell) + re.findall(r"echo ([a-z]+)", slurm)
    assert states | {"elsewhere"} == set(found)


def test_the_results_of_a_job_are_those_that_are_shown() -> None:
    table = table_below(read("reference/states.md"), "| result | meaning |")
    assert first_cells(table) == [each.value for each in Status]


def test_the_python_functions_are_listed_with_what_they_return() -> None:
    table = table_below(read("reference/python-api.md"), "| function | command | returns |")
    rows = {
        name: row
        for row in table.splitlines()
        for name in re.findall(r"`(\w+)\(", row.split(" | ")[0])
    }
    functions = {
        name: value
        for name in mlcube_remote.__all__
        if inspect.isfunction(value := getattr(mlcube_remote, name))
    }
    del functions["get_runner_class"]
    assert set(rows) == set(functions)
    for name, function in functions.items():
        returned = re.sub(r"tuple\[(\w+), \.\.\.\]", r"\1", function.__annotations__["return"])
        assert f"`{returned}`" in rows[name]


@cache
def messages() -> tuple[str, ...]:
    """Return all text constants of the package but docstrings; values in f-strings become ``…``."""
    found = []
    for path in (ROOT / "mlcube_remote").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if id(node) in docstrings:
                continue
            if isinstance(node, ast.JoinedStr):
                parts = (
                    str(part.value) if isinstance(part, ast.Constant) else "…"
                    for part in node.values
                )
                found.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return tuple(found)


@pytest.mark.parametrize(
    "heading", re.findall(r"^### `(.+)`$", read("how-to/troubleshooting.md"), re.MULTILINE)
)
def test_a_message_in_troubleshooting_is_one_of_the_program(heading: str) -> None:
    pieces = [re.escape(piece) for piece in heading.split("…")]
    pattern = re.compile(".*".join(pieces).strip())
    assert any(pattern.search(message) for message in messages()), (
        "no message of the package contains this text: correct the heading"
    )
