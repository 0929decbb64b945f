# SPDX-License-Identifier: Apache-2.0
"""All that is needed to follow, stop and pull a job without the plan it came from.

A ticket is written twice before a job begins: into this machine's record, and into the job's
directory on its host, so that another machine of the same user can take the job over. What came
from a host is never trusted with paths of this machine: see :func:`from_host`.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from mlcube_remote.plan.outputs import DownloadFolder, DownloadRequest
from mlcube_remote.runs.store import FORMAT

_LARGEST = 1024 * 1024
"""Characters of a ticket that a host may send."""


class HandleError(ValueError):
    """What should be a ticket is none."""


@attrs.frozen(kw_only=True)
class TaskHandle:
    """One task of the job."""

    task: str
    engine: tuple[str, ...]
    container: str
    """Name of its container, or nothing where the engine has none."""


@attrs.frozen(kw_only=True)
class JobHandle:
    """One job, as its followers must know it."""

    run_id: str
    job_id: str
    host: str
    """The host's name in the inventory of the client that began the job."""
    platform: str
    cube: str
    """The cube's name, for people."""
    client: str
    """``user@machine`` of who began it, for people."""
    root: str
    """``remote_root``, absolute on the host."""
    tasks: tuple[TaskHandle, ...]
    folders: tuple[DownloadFolder, ...]
    """What is to be pulled."""
    in_place: tuple[DownloadRequest, ...] = ()
    """Outputs that are on this machine already, with absolute paths: the host is this machine."""
    timeout: int | None = None
    """Seconds that each task may take."""
    job: str = ""
    """The job's name in a sweep or among shards; nothing where each host has one job."""
    parameters: Mapping[str, str] = attrs.field(factory=dict)
    """What a sweep gave it."""

    @property
    def name(self) -> str:
        """What tells the job from the others of its run."""
        return self.job or self.host

    @property
    def job_dir(self) -> str:
        """The job's directory on its host."""
        return f"{self.root}/jobs/{self.job_id}"

    def task_dir(self, number: int) -> str:
        """Directory of the job's ``number``-th task, counted from 1."""
        return f"{self.job_dir}/tasks/{number}"


def to_document(handle: JobHandle) -> dict[str, Any]:
    """Return the ticket as what JSON knows."""
    document: dict[str, Any] = attrs.asdict(handle, value_serializer=_plain)
    return {"format": FORMAT, **document}


def _plain(_owner: type, _field: object, value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def from_document(document: Mapping[str, Any]) -> JobHandle:
    """Return the ticket that :func:`to_document` wrote.

    Raises:
        TicketError: Something is missing, is of another type, or leads out of its folder.
    """
    try:
        if document["format"] > FORMAT:
            raise HandleError(f"of a later mlcube-remote (format {document['format']})")
        timeout = document["timeout"]
        handle = JobHandle(
            **{
                name: _text(document[name])
                for name in ("run_id", "job_id", "host", "platform", "cube", "client", "root")
            },
            tasks=tuple(
                TaskHandle(
                    task=_text(item["task"]),
                    engine=tuple(_text(word) for word in item["engine"]),
                    container=_text(item["container"]),
                )
                for item in document["tasks"]
            ),
            folders=tuple(_folder(item) for item in document["folders"]),
            in_place=tuple(_wanted(item) for item in document["in_place"]),
            timeout=None if timeout is None else int(timeout),
            # Tickets of before sweeps have none.
            job=_text(document.get("job", "")),
            parameters={
                _text(name): _text(value) for name, value in document.get("parameters", {}).items()
            },
        )
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise HandleError(f"not understood ({problem})") from problem
    names = (handle.job_id, handle.job or "none")
    if not handle.root.startswith("/") or any("/" in n or n in {"", ".", ".."} for n in names):
        raise HandleError("its paths are not those of a job")
    return handle


def from_host(text: str, results: Path) -> JobHandle:
    """Return a ticket that a host sent, with all targets below ``results``.

    Raises:
        TicketError: It is none.
    """
    if len(text) > _LARGEST:
        raise HandleError("too large")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise HandleError(f"not understood ({problem})") from problem
    handle = from_document(document)
    return attrs.evolve(with_results_in(handle, results), in_place=())


def with_results_in(handle: JobHandle, results: Path) -> JobHandle:
    """Return the ticket with all that is to be pulled going below ``results``."""
    folders = []
    for number, folder in enumerate(handle.folders):
        target = results / f"more-{number}" if number else results
        folders.append(attrs.evolve(folder, target=target, basis=None))
    return attrs.evolve(handle, folders=tuple(folders))


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise HandleError(f"expected text, got {value!r}")
    return value


def _folder(item: Mapping[str, Any]) -> DownloadFolder:
    basis = item["basis"]
    outputs = tuple(_wanted(each) for each in item["outputs"])
    for output in outputs:
        normal = posixpath.normpath(output.path)
        if normal.startswith(("/", "../")) or normal == "..":
            raise HandleError(f"output {output.path!r} is not in its folder")
    return DownloadFolder(
        remote=_text(item["remote"]),
        target=Path(_text(item["target"])),
        basis=None if basis is None else Path(_text(basis)),
        outputs=outputs,
    )


def _wanted(item: Mapping[str, Any]) -> DownloadRequest:
    directory = item["directory"]
    if directory is not None and not isinstance(directory, bool):
        raise HandleError(f"expected true, false or null, got {directory!r}")
    return DownloadRequest(
        task=_text(item["task"]),
        name=_text(item["name"]),
        path=_text(item["path"]),
        directory=directory,
    )
