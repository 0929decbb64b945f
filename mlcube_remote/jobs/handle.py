# SPDX-License-Identifier: Apache-2.0
"""The handle of a job: everything needed to follow, stop and pull it without its plan.

A handle is written twice before a job starts: to this machine's record, and to the job's directory
on its host. So another machine of the same user can take over the job. A handle read from a host
never names paths of this machine: see :func:`from_host`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from mlcube_remote.budgets import parse_json
from mlcube_remote.inventory.model import Launcher
from mlcube_remote.plan.outputs import DownloadFolder, DownloadRequest
from mlcube_remote.runs.documents import FORMAT

EARLIER_GRACE_S = 10
"""Seconds between SIGTERM and SIGKILL for jobs of versions that did not record them."""

_MAX_GRACE_S = 7 * 86_400

_MAX_CHARACTERS = 1024 * 1024
"""Maximum size of a handle read from a host."""


class HandleError(ValueError):
    """A document is not a valid job handle."""


@attrs.frozen(kw_only=True)
class TaskHandle:
    """One task of a job."""

    task: str
    engine: tuple[str, ...]
    container: str
    """Name of its container; empty if the engine has no named containers."""


@attrs.frozen(kw_only=True)
class JobHandle:
    """One job on its host."""

    run_id: str
    job_id: str
    host: str
    """The host's name in the inventory of the client that started the job."""
    platform: str
    cube: str
    """The cube's name, for display."""
    client: str
    """``user@machine`` of the client that started the job, for display."""
    root: str
    """``remote_root``, absolute on the host."""
    tasks: tuple[TaskHandle, ...]
    folders: tuple[DownloadFolder, ...]
    """Outputs to pull."""
    in_place: tuple[DownloadRequest, ...] = ()
    """Outputs that need no pull, because the host is this machine; their paths are absolute."""
    on_host: tuple[DownloadRequest, ...] = ()
    """Outputs that stay on the host; their paths are absolute."""
    timeout: int | None = None
    """Time limit of each task, in seconds."""
    grace: int = EARLIER_GRACE_S
    """Seconds between SIGTERM and SIGKILL when a task is stopped."""
    job: str = ""
    """The job's name in a sweep or among shards; empty if each host has one job."""
    parameters: Mapping[str, str] = attrs.field(factory=dict)
    """The values that a sweep gave it."""
    fresh_outputs: bool = False
    """Whether a task fails that ends with 0 and leaves an output as it was."""
    run_name: str = ""
    """The name that the user gave the run."""
    launcher: Launcher = Launcher.SETSID
    """What starts its supervisor."""

    @property
    def name(self) -> str:
        """The job's name, unique in its run."""
        return self.job or self.host

    @property
    def job_dir(self) -> str:
        """The job's directory on its host."""
        return f"{self.root}/jobs/{self.job_id}"

    def task_dir(self, number: int) -> str:
        """Return the directory of the job's ``number``-th task, counted from 1."""
        return f"{self.job_dir}/tasks/{number}"


def to_document(handle: JobHandle) -> dict[str, Any]:
    """Return the handle as a JSON document."""
    document: dict[str, Any] = attrs.asdict(handle, value_serializer=_plain)
    return {"format": FORMAT, **document}


def _plain(_owner: type, _field: object, value: Any) -> Any:
    if isinstance(value, Launcher):
        return value.value
    return str(value) if isinstance(value, Path) else value


def from_document(document: Mapping[str, Any]) -> JobHandle:
    """Return the handle that :func:`to_document` wrote.

    Raises:
        HandleError: A field is missing or has another type, or a path leads out of its directory.
    """
    try:
        if document["format"] > FORMAT:
            raise HandleError(f"written by a newer mlcube-remote (format {document['format']})")
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
            # Older handles have none of these.
            on_host=tuple(_wanted(item) for item in document.get("on_host", ())),
            fresh_outputs=document.get("fresh_outputs") is True,
            launcher=Launcher(document.get("launcher", Launcher.SETSID.value)),
            job=_text(document.get("job", "")),
            run_name=_text(document.get("run_name", "")),
            grace=_seconds(document.get("grace", EARLIER_GRACE_S)),
            parameters={
                _text(name): _text(value) for name, value in document.get("parameters", {}).items()
            },
        )
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise HandleError(f"not understood ({problem})") from problem
    names = (handle.job_id, handle.job or "none")
    if not handle.root.startswith("/") or any("/" in n or n in {"", ".", ".."} for n in names):
        raise HandleError("its paths are not those of a job directory")
    return handle


def from_host(text: str, results: Path) -> JobHandle:
    """Return a handle that a host sent, with all targets below ``results``.

    Raises:
        HandleError: It is not a valid handle.
    """
    try:
        document = parse_json(text, _MAX_CHARACTERS)
    except ValueError as problem:
        raise HandleError(f"not understood ({problem})") from problem
    handle = from_document(document)
    return attrs.evolve(with_results_in(handle, results), in_place=())


def with_results_in(handle: JobHandle, results: Path) -> JobHandle:
    """Return the handle with all outputs going below ``results``."""
    folders = []
    for number, folder in enumerate(handle.folders):
        target = results / f"more-{number}" if number else results
        folders.append(attrs.evolve(folder, target=target, basis=None, anchor=_anchor(target)))
    return attrs.evolve(handle, folders=tuple(folders))


def _anchor(target: Path) -> Path:
    """Return the part of a directory of results that the user named: where the command runs."""
    here = Path.cwd()
    return here if target.is_relative_to(here) else target


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise HandleError(f"expected text, got {value!r}")
    return value


def _seconds(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value <= _MAX_GRACE_S:
        raise HandleError(f"expected seconds, got {value!r}")
    return value


def _folder(item: Mapping[str, Any]) -> DownloadFolder:
    basis, anchor = item["basis"], item.get("anchor")
    outputs = tuple(_wanted(each) for each in item["outputs"])
    target = Path(_text(item["target"]))
    if anchor is not None and not target.is_relative_to(_text(anchor)):
        raise HandleError(f"{str(target)!r} is not below its anchor {anchor!r}")
    for output in outputs:
        normal = posixpath.normpath(output.path)
        if normal.startswith(("/", "../")) or normal == "..":
            raise HandleError(f"output {output.path!r} is outside its directory")
    return DownloadFolder(
        remote=_text(item["remote"]),
        target=target,
        basis=None if basis is None else Path(_text(basis)),
        outputs=outputs,
        mounts=tuple((_text(source), _text(target)) for source, target in item.get("mounts", ())),
        anchor=None if anchor is None else Path(_text(anchor)),
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
