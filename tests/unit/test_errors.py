# SPDX-License-Identifier: Apache-2.0
"""The tree of errors in the documentation of the module, and messages composed there."""

from __future__ import annotations

import errno
import importlib
import pkgutil
import re
import sys
import traceback
from pathlib import Path

import pytest

import mlcube_remote
from mlcube_remote import errors
from mlcube_remote.errors import (
    CancelledError,
    ConfigureError,
    MLCubeRemoteError,
    RecordError,
    UsageError,
)

_ROW = re.compile(r"^ {4}((?:[│ ] {3})*(?:[├└]── )?)(\w+Error) +(\d+)", re.MULTILINE)


def documented() -> dict[str, tuple[str, int]]:
    """Return each error in the tree with its parent and its exit code."""
    rows: dict[str, tuple[str, int]] = {}
    above: list[str] = []
    for indent, name, code in _ROW.findall(errors.__doc__ or ""):
        depth = len(indent) // 4
        above[depth:] = [name]
        rows[name] = (above[depth - 1] if depth else "", int(code))
    return rows


def defined(error: type[MLCubeRemoteError], parent: str = "") -> dict[str, tuple[str, int]]:
    """Return each error class with its parent and its exit code."""
    rows = {error.__name__: (parent, error.exit_code)}
    for child in error.__subclasses__():
        if child.__module__.startswith("mlcube_remote."):
            rows |= defined(child, error.__name__)
    return rows


def test_the_tree_has_every_error_with_its_exit_code() -> None:
    for module in pkgutil.walk_packages(mlcube_remote.__path__, "mlcube_remote."):
        # The runner needs MLCube itself, and __main__ runs the command.
        if module.name.rpartition(".")[2] not in {"runner", "__main__"}:
            importlib.import_module(module.name)
    assert documented() == defined(MLCubeRemoteError)


def test_a_traceback_has_the_hint() -> None:
    error = UsageError("no such host", hint="name another")
    error.hint = "mlcube-remote hosts list"
    with_note = sys.version_info >= (3, 11)
    text = "".join(traceback.format_exception(error))
    assert text.endswith("\nhint: mlcube-remote hosts list\n") == with_note
    assert "hint" not in "".join(traceback.format_exception(UsageError("no such host")))


def test_a_failed_build_repeats_the_output_unless_the_user_saw_it() -> None:
    error = ConfigureError("h", "build failed (status 1)", output=["step 1", "no space"], hint="x")
    assert str(error) == "h: build failed (status 1):\n  step 1\n  no space"
    brief = error.brief()
    assert str(brief) == "h: build failed (status 1): no space (full output above)"
    assert brief.hint == "x"
    assert str(ConfigureError("h", "build failed").brief()) == "h: build failed"


def test_record_errors_name_the_file_and_the_next_step() -> None:
    problem = PermissionError(13, "Permission denied", "/state/x")
    error = RecordError.not_writable("nothing can be locked", problem, hint="make it writable")
    assert str(error) == "nothing can be locked: /state/x: Permission denied"
    assert error.hint == "make it writable"
    newer = RecordError.too_new(Path("/r/run.json"), "format", found=3, supported=1)
    assert str(newer) == (
        "/r/run.json: format 3 is from a newer mlcube-remote; this one reads up to format 1"
    )
    assert str(newer.hint).startswith("upgrade: ")


@pytest.mark.parametrize(
    ("error", "kind"),
    [(RecordError, "Record"), (ConfigureError, "Configure"), (CancelledError, "GivenUp")],
)
def test_json_documents_keep_the_kind_of_an_error(
    error: type[MLCubeRemoteError], kind: str
) -> None:
    assert error.kind == kind


def test_a_full_disk_is_not_a_lack_of_permission() -> None:
    hint = "make /x writable, or set XDG_STATE_HOME to another directory"
    full = RecordError.not_writable("failed", OSError(errno.ENOSPC, "No space left"), hint=hint)
    assert str(full) == "failed: No space left"
    assert full.hint == "free some space, or set XDG_STATE_HOME to another directory"
    denied = RecordError.not_writable("failed", OSError(errno.EACCES, "denied", "/x"), hint=hint)
    assert (str(denied), denied.hint) == ("failed: /x: denied", hint)


def test_a_refusal_of_the_system_has_a_next_step_and_a_bug_is_none() -> None:
    refused = RecordError.of_system(OSError(errno.EROFS, "Read-only file system", "/x"))
    assert refused is not None
    assert str(refused) == "/x: Read-only file system"
    assert refused.hint
    assert RecordError.of_system(OSError(errno.EBADF, "Bad file descriptor")) is None
    assert RecordError.of_system(ValueError("x")) is None
