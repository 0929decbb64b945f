# SPDX-License-Identifier: Apache-2.0
"""The shell's table of exit statuses agrees with the functions and with Python's constants."""

from __future__ import annotations

import re
from pathlib import Path

from mlcube_remote.remote import definitions, library, status

TABLE = (Path(status.__file__).with_name("status.sh")).read_text()
ROW = re.compile(r"^#   ([A-Z_]+) +(\d+)   (mlcr_.*(?:\n# {8,}mlcr_.*)*)$", re.MULTILINE)
STATUSES = {
    name: (int(number), frozenset(re.findall(r"mlcr_[a-z_]+", functions)))
    for name, number, functions in ROW.findall(TABLE)
}
FUNCTION = re.compile(r"^(mlcr_[a-z_]+)\(\) [{(]\n(.*?)^[})]\n", re.MULTILINE | re.DOTALL)
FUNCTIONS = dict(FUNCTION.findall(library()))
OF_TIMEOUT = "TIMED_OUT"
"""The status of timeout(1), which no function returns by number."""


def returned(function: str) -> set[int]:
    """Return the statuses in the text of a function, without success and plain failure."""
    found = re.findall(r"\b(?:return|exit) (\d+)", FUNCTIONS[function])
    # 143 is the exit status of a trap for SIGTERM.
    return {int(number) for number in found} - {0, 1, 143}


def test_python_has_the_same_names_and_numbers() -> None:
    constants = {name: value for name, value in vars(status).items() if name.isupper()}
    assert constants == {name: number for name, (number, _) in STATUSES.items()}
    assert OF_TIMEOUT in constants


def test_the_table_names_every_function_that_returns_a_status() -> None:
    listed = {(number, name) for number, names in STATUSES.values() for name in names}
    found = {(number, name) for name in FUNCTIONS for number in returned(name)}
    assert found <= listed


def test_each_listed_function_can_return_its_status() -> None:
    for name, (number, functions) in STATUSES.items():
        for function in functions if name != OF_TIMEOUT else ():
            assert any(number in returned(used) for used in definitions([function])), function


def test_a_function_has_one_meaning_for_each_number() -> None:
    pairs = [(number, name) for number, names in STATUSES.values() for name in names]
    assert len(pairs) == len(set(pairs))


def test_each_function_that_python_calls_is_documented_with_its_statuses() -> None:
    text = Path(status.__file__).read_text()
    internal = {
        *("mlcr_acquire_lock", "mlcr_confirm_claim", "mlcr_check_begin"),
        *("mlcr_confine", "mlcr_check_inside", "mlcr_explain_obstacle"),
        *("mlcr_lease_exclusively", "mlcr_run_limited", "mlcr_start_supervisor"),
        *("mlcr_enter_job", "mlcr_exec_in_container", "mlcr_exec_in_namespace"),
    }
    for _, functions in STATUSES.values():
        assert all(f"``{name}``" in text for name in functions - internal)
