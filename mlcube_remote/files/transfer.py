# SPDX-License-Identifier: Apache-2.0
"""Upload the planned trees with rsync; see ``upload``."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import attrs

from mlcube_remote.budgets import parse_whole
from mlcube_remote.errors import TransferError
from mlcube_remote.files.link_copies import LinkCopies, rewrite_links
from mlcube_remote.files.rsync import (
    SOME_FILES,
    VANISHED,
    TransferStats,
    check,
    is_full,
    local_version,
    parse_stats,
)
from mlcube_remote.files.transfer_progress import ProgressSink, TransferProgress
from mlcube_remote.files.upload import PARTIAL, UploadTree
from mlcube_remote.files.upload_options import choose_options
from mlcube_remote.formatting import readable_size
from mlcube_remote.transport.base import Connection, RsyncResult

_SENT = re.compile(rb"(?:^|\r)<f\S+ (.*)$", re.MULTILINE)
"""A line of ``--out-format=%i %n`` for a file that was sent."""
_ESCAPED = re.compile(rb"\\#([0-7]{3})")
"""How rsync prints a byte of a file name that is not printable."""
_MAX_PASSES = 3
"""Maximum number of transfers if files keep changing."""
_CLOCK_STEP_NS = 20_000_000
"""Nanoseconds by which a file system's clock may lag behind this machine's."""

_UNSAFE_LINK = re.compile(rb'(?:^|\r)ignoring unsafe symlink "(.*?)" -> ', re.MULTILINE)


def upload_size(tree: UploadTree) -> TransferStats:
    """Return the size of a first upload, as rsync counts it in a dry run.

    Raises:
        TransferError: A file in the tree cannot be read.
        UsageError: This machine has no rsync.
    """
    size = parse_stats(_dry_run(tree.arguments()))
    if not tree.copies:
        return size
    with tempfile.TemporaryDirectory(prefix="mlcube-remote-") as folder:
        tree.copies.write(Path(folder))
        more = parse_stats(_dry_run(tree.copies_arguments(Path(folder))))
    return TransferStats(size.files + more.files, size.size + more.size)


def list_sent(tree: UploadTree) -> frozenset[str]:
    """Return the paths in the tree that its rules do not exclude; those of directories end in "/".

    Raises:
        UsageError: This machine has no rsync.
    """
    # With this option, rsync does not list links that leave the tree.
    result = _dry_run(_names_arguments(tree, "--safe-links"), accepted=SOME_FILES)
    return frozenset(map(_decode, result.stdout.split(b"\n")))


def list_files(tree: UploadTree) -> list[bytes]:
    """Return the names of the files and links that an upload of the tree sends.

    Raises:
        UsageError: This machine has no rsync.
        TransferError: Not all of them could be listed.
    """
    lines = _dry_run(_names_arguments(tree)).stdout.split(b"\n")
    return [_unescape(line) for line in lines if line and not line.endswith(b"/")]


def list_entries(tree: UploadTree, most: int) -> list[bytes] | None:
    """Return the names of all that an upload of the tree could send; links are never left out.

    Returns:
        ``None`` if these are more than ``most``, or not all of them can be listed.

    Raises:
        UsageError: This machine has no rsync.
    """
    with (
        _dry_argv(_names_arguments(tree, "--safe-links")) as argv,
        subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_plain_environment()
        ) as process,
    ):
        lines = list(islice(process.stdout or (), most + 1))
        if len(lines) > most:
            process.terminate()
            return None
    if process.returncode not in {0, VANISHED}:
        return None
    return [_unescape(line.removesuffix(b"\n")) for line in lines]


def _names_arguments(tree: UploadTree, *without: str) -> list[str]:
    """Return arguments that print the names of what is sent, without some of the options."""
    options = [word for word in tree.arguments() if word not in {"--stats", *without}]
    return ["--out-format=%n", *options]


@contextlib.contextmanager
def _dry_argv(arguments: Sequence[str]) -> Iterator[list[str]]:
    """Give the command of an rsync without a host: everything is new there."""
    local_version()
    with tempfile.TemporaryDirectory(prefix="mlcube-remote-") as nothing:
        *options, dashes, source, _ = arguments
        yield ["rsync", "--dry-run", *options, dashes, source, f"{nothing}/"]


def _plain_environment() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C"}


def _dry_run(arguments: Sequence[str], *, accepted: int = 0) -> RsyncResult:
    with _dry_argv(arguments) as argv:
        done = subprocess.run(argv, capture_output=True, check=False, env=_plain_environment())
    result = RsyncResult(done.returncode, done.stdout, done.stderr)
    # What vanishes during a dry run is not sent, and does not matter.
    if done.returncode not in {accepted, VANISHED}:
        check("local", "dry run", result)
    return result


@attrs.frozen(kw_only=True)
class UploadResult:
    """The result of an upload."""

    moved: TransferStats
    left_out: tuple[str, ...]
    """Links out of the tree, or to nothing, which were not sent."""


def upload(
    connection: Connection,
    tree: UploadTree,
    *,
    progress: ProgressSink | None = None,
    sent: Callable[[int], None] | None = None,
) -> UploadResult:
    """Update one mirror.

    A file that changes during the transfer may arrive half old and half new, so it is sent again.
    A link to something in the tree arrives as a relative link.

    Args:
        connection: The host.
        tree: What to send.
        progress: Called during a long transfer with a text and a fraction.
        sent: Called with the number of bytes that rsync has sent so far.

    Raises:
        TransferError: The mirror is incomplete; no task may run on it.
    """
    make_reader = partial(TransferProgress, progress, sent=sent)
    copies = tree.copies or LinkCopies(top=tree.local)
    options = choose_options([tree.local, *copies.followed.values()], tree.excluded)
    moved, unsafe = _send(connection, tree, [*options, *tree.arguments()], make_reader)
    inside = rewrite_links(tree.local, unsafe)
    links = attrs.evolve(copies, links={**inside.links, **copies.links})
    if links:
        with tempfile.TemporaryDirectory(prefix="mlcube-remote-") as folder:
            links.write(Path(folder))
            arguments = [*options, *tree.copies_arguments(Path(folder))]
            more, _ = _send(connection, tree, arguments, make_reader, folder)
        moved = TransferStats(moved.files + more.files, moved.size + more.size)
    followed = {*inside.links, *copies.names}
    left_out = tuple(name for name in unsafe if name not in followed)
    return UploadResult(moved=moved, left_out=left_out)


def _send(
    connection: Connection,
    tree: UploadTree,
    arguments: Sequence[str],
    make_reader: Callable[[], TransferProgress],
    folder: str | None = None,
) -> tuple[TransferStats, list[str]]:
    """Run rsync until no file changes meanwhile; return also the links that it did not send.

    Args:
        connection: The host.
        tree: What is sent.
        arguments: The arguments of rsync.
        make_reader: Returns what reads the output of one rsync.
        folder: Directory whose links rsync follows; ``None``: rsync sends the tree.
    """
    top = tree.local if tree.is_directory else tree.local.parent
    source = top if folder is None else Path(folder)
    total = TransferStats(0, 0)
    for _ in range(_MAX_PASSES):
        started = time.time_ns()
        result = _transfer(connection, arguments, make_reader)
        if result.code != VANISHED:
            _check(connection, tree, result)
        part = parse_stats(result)
        total = TransferStats(total.files + part.files, total.size + part.size)
        changed = next(_changed_since(started, source, result.stdout), None)
        if result.code == 0 and changed is None:
            return total, [_decode(name) for name in _UNSAFE_LINK.findall(result.stdout)]
    name = tree.local if changed is None else top / changed.relative_to(source)
    raise TransferError(
        connection.name,
        f"sync incomplete: {name} changed during each of {_MAX_PASSES} transfers",
        hint="wait until nothing writes to it, or exclude it in .mlcubeignore",
    )


def _check(connection: Connection, tree: UploadTree, result: RsyncResult) -> None:
    """Raise an error if rsync failed; if it filled the host's disk, remove the partial files.

    Raises:
        TransferError: The transfer is incomplete.
    """
    try:
        check(connection.name, "sync", result)
    except TransferError as problem:
        if not is_full(result):
            raise
        # The next try could continue with them, but until then the host's disk would be full.
        kibibytes = connection.call("mlcr_remove_partial_files", tree.remote, PARTIAL).text.strip()
        reason = f"{problem.reason}; needed: {upload_size(tree)}; partial files were removed"
        with contextlib.suppress(ValueError):  # the host did not say
            reason += f" ({readable_size(parse_whole(kibibytes) * 1024)} free)"
        raise TransferError(connection.name, reason, hint=problem.hint) from problem


def _transfer(
    connection: Connection,
    arguments: Sequence[str],
    make_reader: Callable[[], TransferProgress],
) -> RsyncResult:
    reader = make_reader()
    options = ("--info=progress2,name1", "--out-format=%i %n")
    result = connection.rsync([*options, *arguments], on_stdout=reader.read)
    return attrs.evolve(result, stdout=reader.others())


def _changed_since(started: int, top: Path, stdout: bytes) -> Iterator[Path]:
    """Find files that rsync has sent and that were changed or deleted since ``started`` (ns).

    ctime counts, because a program cannot set it.
    """
    for name in _SENT.findall(stdout):
        path = os.path.join(top, _decode(name))
        try:
            # rsync has sent what a link leads to only with the option to follow links.
            changed = os.stat(path).st_ctime_ns >= started - _CLOCK_STEP_NS
        except FileNotFoundError:
            changed = True
        if changed:
            yield Path(path)


def _decode(name: bytes) -> str:
    """Return a file name as rsync printed it."""
    return os.fsdecode(_unescape(name))


def _unescape(name: bytes) -> bytes:
    return _ESCAPED.sub(lambda found: bytes([int(found[1], 8)]), name)
