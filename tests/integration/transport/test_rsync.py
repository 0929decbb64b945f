# SPDX-License-Identifier: Apache-2.0
"""rsync over a connection's own channels, on hosts with every login shell."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mlcube_remote.errors import HostError, HostUnfitError, UsageError
from mlcube_remote.transport.base import Connection

NAMES = [
    b"plain",
    b"with space",
    b"-rf",
    b"--delete",
    b"$(touch canary)",
    b"`id`",
    b'quote\'s "double"',
    b"back\\slash",
    b"new\nline",
    b"tab\there",
    "ünïcödé".encode(),
    b"not-utf8-\xff\xfe",
    b"*?[x]",
    b"#hash",
    b"~",
    b"x" * 255,
]


def _tree(root: Path) -> dict[bytes, bytes]:
    """Return every file below, by its path in bytes."""
    found = {}
    for folder, _, files in os.walk(os.fsencode(root)):
        for name in files:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, os.fsencode(root))] = Path(os.fsdecode(path)).read_bytes()
    return found


@pytest.fixture
def weird_tree(tmp_path: Path) -> Path:
    root = tmp_path / "weird"
    for number, name in enumerate(NAMES):
        folder = os.path.join(os.fsencode(root), b"dir " + name[:200])
        os.makedirs(folder)
        Path(os.fsdecode(os.path.join(folder, name))).write_bytes(bytes([number]) * number)
    return root


def test_weird_names_go_there_and_back(remote: Connection, weird_tree: Path) -> None:
    there = f"/tmp/mlcr-rsync {os.getpid()} $(id) it's \\ !x"
    back = weird_tree.parent / "back it's"

    sent = remote.rsync(["-rt", "--delete", "--", f"{weird_tree}/", f"host:{there}/"])
    fetched = remote.rsync(["-rt", "--", f"host:{there}/", f"{back}/"])

    assert (sent.code, sent.stderr) == (0, b"")
    assert (fetched.code, fetched.stderr) == (0, b"")
    assert _tree(back) == _tree(weird_tree)
    assert remote.call("mlcr_run_in", "/", "rm", "-r", "--", there).ok


def test_bulk_data_arrives_whole(remote: Connection, tmp_path: Path) -> None:
    data = os.urandom(1024 * 1024) * 40
    (tmp_path / "up").mkdir()
    (tmp_path / "up" / "bulk").write_bytes(data)
    there = f"/tmp/mlcr-bulk-{os.getpid()}"

    assert remote.rsync(["-r", "--", f"{tmp_path}/up/", f"host:{there}/"]).code == 0
    assert remote.rsync(["-r", "--", f"host:{there}/", f"{tmp_path}/down/"]).code == 0

    assert (tmp_path / "down" / "bulk").read_bytes() == data
    assert remote.call("mlcr_run_in", "/", "rm", "-r", "--", there).ok


def test_lists_are_fed_and_output_is_handed_over(remote: Connection, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name)
    there = f"/tmp/mlcr-list-{os.getpid()}"
    seen: list[bytes] = []

    result = remote.rsync(
        ["-r", "-v", "--from0", "--files-from=-", "--", f"{tmp_path}/", f"host:{there}/"],
        stdin=b"a\0c\0",
        on_stdout=seen.append,
    )

    assert (result.code, result.stdout) == (0, b"")
    assert b"sent " in b"".join(seen)
    assert remote.call("mlcr_run_in", there, "ls").text.split() == ["a", "c"]
    assert remote.call("mlcr_run_in", "/", "rm", "-r", "--", there).ok


def test_what_goes_wrong_there_is_told_with_rsyncs_status(
    connection_to: Callable[[str], Connection], tmp_path: Path
) -> None:
    remote = connection_to("noisy")

    result = remote.rsync(["-r", "--", "host:/nowhere/", f"{tmp_path}/to/"])

    assert result.code == 23
    assert b"No such file or directory" in result.stderr
    # The login shell's own words are no part of it.
    assert b"mind the step" not in result.stderr


def test_a_host_without_rsync_says_so(
    connection_to: Callable[[str], Connection], tmp_path: Path
) -> None:
    result = connection_to("no-rsync").rsync(["-r", "--", f"{tmp_path}/", "host:/tmp/x/"])

    assert result.code != 0
    assert b"rsync" in result.stderr
    assert b"not found" in result.stderr


def test_a_host_without_a_shell_says_so(
    connection_to: Callable[[str], Connection], tmp_path: Path
) -> None:
    with pytest.raises(HostUnfitError, match=r"does not give a usable shell: got 'no\\n'"):
        connection_to("forced-command").rsync(["-r", "--", f"{tmp_path}/", "host:/tmp/x/"])


def test_a_machine_without_rsync_says_so(
    connection_to: Callable[[str], Connection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = connection_to("docker")
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(UsageError, match="rsync was not found on this machine"):
        remote.rsync(["-r", "--", f"{tmp_path}/", "host:/tmp/x/"])


def test_nothing_is_copied_on_this_machine(connection_to: Callable[[str], Connection]) -> None:
    with pytest.raises(HostError, match="jobs run in place"):
        connection_to("local").rsync(["-r", "/a", "host:/b"])


def test_the_interpreter_may_lie_at_a_strange_path(
    connection_to: Callable[[str], Connection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys  # noqa: PLC0415 - only to be changed

    remote = connection_to("docker")
    strange = tmp_path / 'it\'s a "strange" $(place)'
    strange.mkdir()
    (strange / "python").symlink_to(os.path.realpath(sys.executable))
    monkeypatch.setattr(sys, "executable", str(strange / "python"))

    result = remote.rsync(["-r", "--", "host:/etc/hostname", f"{tmp_path}/to"])

    assert (result.code, result.stderr) == (0, b"")


def test_several_at_once_share_a_connection(
    connection_to: Callable[[str], Connection], tmp_path: Path
) -> None:
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    remote = connection_to("docker")

    def fetch(number: int) -> int:
        return remote.rsync(["-r", "--", "host:/etc/ssh/", f"{tmp_path}/{number}/"]).code

    with ThreadPoolExecutor(4) as pool:
        codes = list(pool.map(fetch, range(4)))

    assert set(codes) <= {0, 23}
    assert all((tmp_path / str(number) / "sshd_config").exists() for number in range(4))
