# SPDX-License-Identifier: Apache-2.0
"""Readers of what cubes and hosts write. Each reads any bytes, or raises an error for the user."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from mlcube_remote import yamlsource
from mlcube_remote.cube.load import load as load_cube
from mlcube_remote.errors import CubeError, InventoryError, MLCubeRemoteError
from mlcube_remote.events.output_content import read_metrics
from mlcube_remote.facts.gpus import ask_gpus
from mlcube_remote.facts.probe import clock_warning, probe_host
from mlcube_remote.facts.usage import read_usage
from mlcube_remote.files.checksums import find_mismatches
from mlcube_remote.files.filters import filter_rules, read_ignore_file
from mlcube_remote.files.received import check_received
from mlcube_remote.files.sent_outputs import parse_sent, write_sent
from mlcube_remote.files.staging import DeclaredOutput
from mlcube_remote.inventory.ansible import read_listing, translate
from mlcube_remote.inventory.ansible_files import (
    is_ansible_yaml,
    looks_like_ini,
    read_ini,
    read_yaml,
)
from mlcube_remote.inventory.load import TOP_KEYS
from mlcube_remote.inventory.load import read as read_inventory
from mlcube_remote.inventory.model import Host
from mlcube_remote.jobs.disk import read_disk
from mlcube_remote.jobs.handle import HandleError, from_host, to_document
from mlcube_remote.jobs.log_order import parse_order
from mlcube_remote.jobs.query import query_host
from mlcube_remote.jobs.state import derive_outcome, read_task
from mlcube_remote.runs.digests import Digests
from mlcube_remote.runs.store import Store
from mlcube_remote.transport.base import Reply
from mlcube_remote.transport.fake import FakeConnection
from mlcube_remote.transport.framing import Answer, AnswerError, ReadyMarker
from mlcube_remote.ui.tables.disk import disk_document, disk_text
from tests.support.handles import TICKET

CORPUS = Path(__file__).with_name("corpus")

MAX_CPU_S = 10.0
"""Processor time for one input; an idle machine needs a fifth."""

MAX_MESSAGE = 100_000
"""Characters of an error's message."""

MARKER = b"mlcr-0123456789abcdef"

Target = Callable[[bytes, Path], object]


def _cube(data: bytes, folder: Path) -> object:
    file = folder / "mlcube.yaml"
    file.write_bytes(data)
    return load_cube(file)


def _ignore(data: bytes, folder: Path) -> object:
    file = folder / ".mlcubeignore"
    file.write_bytes(data)
    return filter_rules(read_ignore_file(file))


def _hosts(data: bytes, folder: Path) -> object:
    text = data.decode("utf-8", "replace")
    document = yamlsource.parse(text, path=folder / "hosts.yaml", error=InventoryError)
    return read_inventory(document)


def _yaml(data: bytes, folder: Path) -> object:
    file = folder / "any.yaml"
    file.write_bytes(data)
    return yamlsource.load(file, error=CubeError)


def _metrics(suffix: str) -> Target:
    def read(data: bytes, folder: Path) -> object:
        file = folder / f"metrics{suffix}"
        file.write_bytes(data)
        return read_metrics(file)

    return read


def _framing(data: bytes, folder: Path) -> object:
    """The first byte is the size of the pieces in which the rest arrives."""
    size = data[0] + 1 if data else 1
    answer, ready = Answer(MARKER), ReadyMarker(MARKER)
    for start in range(1, len(data), size):
        piece = data[start : start + size]
        ready.feed(piece)
        answer.feed_stdout(piece)
        answer.feed_stderr(piece)
    return answer.code, answer.stdout, answer.stderr, ready.excerpt


def _checksums(data: bytes, folder: Path) -> object:
    names = ("a", "b")
    for name in names:
        (folder / name).write_text(name)
    connection = _answering("mlcr_print_checksums", data)
    return find_mismatches(connection, "/there", folder, names, Digests(folder / "digests"))


def _handle(data: bytes, folder: Path) -> object:
    return to_document(from_host(data.decode("utf-8", "surrogateescape"), folder))


def _job(data: bytes, folder: Path) -> object:
    report = read_task(_answering("mlcr_report_task", data), TICKET, 1)
    return report.seconds, derive_outcome(TICKET, TICKET.tasks[0], report)


def _order(data: bytes, folder: Path) -> object:
    return parse_order(data.decode("ascii", "replace"))


def _jobs(data: bytes, folder: Path) -> object:
    return query_host(_answering("mlcr_report_jobs", data), Host(name="gpu"), everything=True)


def _probe(data: bytes, folder: Path) -> object:
    connection = _answering("mlcr_probe_host", data)
    return clock_warning(probe_host(connection, remote_root="~/.mlcube-remote", cube_room="x"))


def _sent(data: bytes, folder: Path) -> object:
    """Read small outputs, and write what is understood as a pull of the output "out" does."""
    room = folder / "room"
    room.mkdir()
    for entries in parse_sent(data).values():
        if write_sent("gpu", entries, ("out",), room) is not None:
            check_received("gpu", room, [DeclaredOutput(path="out", directory=None)])
    assert [path.name for path in folder.iterdir()] == ["room"]
    return data


def _usage(data: bytes, folder: Path) -> object:
    return read_usage(_answering("mlcr_report_usage", data), Host(name="gpu"))


def _disk(data: bytes, folder: Path) -> object:
    disk = read_disk(_answering("mlcr_report_disk", data), Host(name="gpu"), Store(folder))
    assert "\x1b" not in disk_text([disk])
    return disk_document([disk])


def _ansible(data: bytes, folder: Path) -> object:
    """Read a file of Ansible: INI, YAML, or the answer of ansible-inventory."""
    text, path = data.decode("utf-8", "replace"), folder / "inventory"
    if looks_like_ini(text):
        found = read_ini(text, path)
    else:
        document = yamlsource.parse(text, path=path, error=InventoryError)
        is_yaml = is_ansible_yaml(document, TOP_KEYS)
        found = read_yaml(document) if is_yaml else read_listing(document.data, path)
    return read_inventory(translate(found, path).document)


def _gpus(data: bytes, folder: Path) -> object:
    return str(ask_gpus(_answering("mlcr_list_gpus", data)))


def _answering(function: str, data: bytes) -> FakeConnection:
    """Return a connection whose host answers the data; a first byte of 255 is a failure."""
    connection = FakeConnection("gpu")
    is_failure = data[:1] == b"\xff"
    connection.answer(function, Reply(1 if is_failure else 0, data, data if is_failure else b""))
    return connection


TARGETS: dict[str, Target] = {
    "ansible": _ansible,
    "checksums": _checksums,
    "cube": _cube,
    "disk": _disk,
    "framing": _framing,
    "gpus": _gpus,
    "handle": _handle,
    "hosts": _hosts,
    "ignore": _ignore,
    "job": _job,
    "jobs": _jobs,
    "metrics.json": _metrics(".json"),
    "metrics.yaml": _metrics(".yaml"),
    "order": _order,
    "probe": _probe,
    "sent": _sent,
    "usage": _usage,
    "yaml": _yaml,
}


def read(name: str, data: bytes) -> None:
    """Let a reader read some bytes.

    Raises:
        AssertionError: It took too long.
        Exception: Any that is not one of ours: a bug.
    """
    begin, length = time.thread_time(), 0
    with TemporaryDirectory(prefix="mlcube-remote-fuzz-") as folder:
        try:
            TARGETS[name](data, Path(folder))
        except (MLCubeRemoteError, AnswerError, HandleError) as problem:
            length = len(str(problem))
    assert length < MAX_MESSAGE, f"a message of {length:,} characters"
    taken = time.thread_time() - begin
    assert taken < MAX_CPU_S, f"{taken:.1f} s for {len(data)} bytes"


def corpus(name: str) -> dict[str, bytes]:
    """Return the inputs of a reader that are kept, by file name."""
    return {path.name: path.read_bytes() for path in sorted((CORPUS / name).iterdir())}
