# SPDX-License-Identifier: Apache-2.0
"""``verify --host``: compare what is still on the hosts of a run with what was recorded."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from mlcube_remote.errors import HostError
from mlcube_remote.events.provenance import FileStat
from mlcube_remote.facts.machine import parse_stats
from mlcube_remote.files.checksums import read_checksums
from mlcube_remote.files.verify import Finding, Verdict
from mlcube_remote.inventory.model import Host
from mlcube_remote.jobs.handle import JobHandle
from mlcube_remote.jobs.lookup import RecordedJob
from mlcube_remote.plan.host_paths import data_directory
from mlcube_remote.runs.ids import slug
from mlcube_remote.runs.manifests import Manifests
from mlcube_remote.transport.ask_hosts import AT_ONCE, ask_hosts
from mlcube_remote.transport.base import Connection

Document = Mapping[str, Any]


@attrs.frozen(kw_only=True)
class HostFindings:
    """What became of the files of a run on one host."""

    host: str
    findings: tuple[Finding, ...] = ()
    error: HostError | None = None
    """Why the host gave no answer."""


@attrs.frozen(kw_only=True)
class _Files:
    """Files in one directory of a host, with their recorded digests."""

    what: str
    folder: str
    digests: Mapping[str, str]
    """Path below the directory → SHA-256; empty: the names are not known."""
    size: int = 0
    is_complete: bool = True
    """Whether a file that the host lacks is missing; else it was never there."""


def verify_on_hosts(
    jobs: Iterable[RecordedJob],
    records: Mapping[str, Document],
    connect: Callable[[Host], Connection],
    *,
    parallel: int = AT_ONCE,
) -> tuple[HostFindings, ...]:
    """Read what hosts still have of a run, in parallel.

    Args:
        jobs: The jobs. Those on this machine, and those without a handle, are left out.
        records: Name of a job → the record of its last attempt.
        connect: Opens a connection.
        parallel: Maximum number of hosts asked at the same time.
    """
    hosts: dict[str, Host] = {}
    by_host: dict[str, list[tuple[JobHandle, Document]]] = {}
    for job in jobs:
        if job.handle is not None and job.name in records and not job.host.is_local:
            hosts[job.host.name] = job.host
            by_host.setdefault(job.host.name, []).append((job.handle, records[job.name]))

    def ask(connection: Connection, host: Host) -> HostFindings:
        compared: set[object] = set()
        found = (
            item
            for handle, record in by_host[host.name]
            for item in _verify_job(connection, handle, record, compared)
        )
        unique = {(item.what, item.path): item for item in found}
        return HostFindings(host=host.name, findings=tuple(unique.values()))

    return ask_hosts(
        hosts.values(),
        connect,
        ask,
        lambda host, problem: HostFindings(host=host.name, error=problem),
        parallel=parallel,
    )


def _verify_job(
    connection: Connection, handle: JobHandle, record: Document, compared: set[object]
) -> Iterator[Finding]:
    """Compare what a host has of a job; what ``compared`` has is left out, and added to it."""
    provenance = record["provenance"] or {}
    image = provenance.get("image", {})
    in_place = [item for item in provenance.get("inputs", ()) if item["modified"] is not None]
    asked = [item["path"] for item in in_place] + ([image["name"]] if image.get("sha256") else [])
    stats = _read_stats(connection, asked) if asked else {}
    for item in in_place:
        now = stats.get(item["path"])
        is_same = now is not None and (now.size, now.modified) == (item["size"], item["modified"])
        verdict = Verdict.SAME if is_same else Verdict.CHANGED if now else Verdict.GONE
        what = f"input {item['task']}.{item['name']}"
        yield Finding(verdict=verdict, what=f"{handle.host}: {what}", path=item["path"])
    sif_size = stats[image["name"]].size if image.get("name") in stats else 0
    # The jobs of a sweep share the cube and the image, which may be large.
    for files in _expected(handle, record, sif_size):
        if _is_new(compared, (files.what, files.folder, frozenset(files.digests.items()))):
            named = attrs.evolve(files, what=f"{handle.host}: {files.what}")
            yield from _compare(connection, named)
    if image.get("id") and _is_new(compared, (image["name"], image["id"])):
        yield _compare_image(connection, handle, provenance)


def _is_new(known: set[object], item: object) -> bool:
    """Add an item to a set, and return whether it was not there."""
    before = len(known)
    known.add(item)
    return len(known) > before


def _read_stats(connection: Connection, paths: Iterable[str]) -> Mapping[str, FileStat]:
    reply = connection.call("mlcr_report_stat", *paths)
    return parse_stats(value for key, value in reply.records() if key == "stat")


def _expected(handle: JobHandle, record: Document, sif_size: int) -> Iterator[_Files]:
    """Yield the files that the record of a job has digests of."""
    provenance = record["provenance"] or {}
    cube, image = provenance.get("cube", {}), provenance.get("image", {})
    if record["cube"] and cube.get("sha256"):
        root = os.path.dirname(record["cube"]["path"])
        folder = posixpath.join(handle.root, "cubes", slug(handle.cube, of=root))
        listed = Manifests().read(cube["sha256"]) or {}
        yield _Files(what="cube", folder=folder, digests=listed, size=cube.get("size") or 0)
    for item in provenance.get("inputs", ()):
        if item["where"] == "client" and item["sha256"]:
            path = posixpath.join(handle.root, data_directory(Path(item["path"])))
            yield _tree(f"input {item['task']}.{item['name']}", path, item)
    if image.get("sha256"):
        yield _tree("image", image["name"], {**image, "files": 1, "size": sif_size})
    yield from _expected_outputs(handle, record)
    for number, task in enumerate(handle.tasks, 1):
        logs: Document = next(
            (each["logs"] for each in provenance.get("tasks", ()) if each["task"] == task.task), {}
        )
        digests = {stream: log["sha256"] for stream, log in logs.items()}
        size = sum(log["size"] for log in logs.values())
        if digests:
            folder = handle.task_dir(number)
            yield _Files(what=f"log of {task.task}", folder=folder, digests=digests, size=size)


def _expected_outputs(handle: JobHandle, record: Document) -> Iterator[_Files]:
    places = {
        (item.task, item.name): posixpath.join(folder.remote, item.path)
        for folder in handle.folders
        for item in folder.outputs
    }
    job = f"{handle.job}: " if handle.job else ""
    for output in record["outputs"]:
        path = places.get((output["task"], output["name"]))
        state = output.get("state")
        if path is None or output.get("sha256") is None or state == "unchanged":
            continue
        files = _tree(f"{job}output {output['task']}.{output['name']}", path, output)
        # What was there here before a run that only updated the output may not be on the host.
        yield attrs.evolve(files, is_complete=state != "updated")


def _tree(what: str, path: str, recorded: Document) -> _Files:
    """Return a file, or the files of a directory, with the digest of a record."""
    size = recorded.get("size") or 0
    listed = Manifests().read(recorded["sha256"])
    if listed is None and recorded.get("files") == 1:
        digests = {posixpath.basename(path): recorded["sha256"]}
        return _Files(what=what, folder=posixpath.dirname(path), digests=digests, size=size)
    return _Files(what=what, folder=path, digests=listed or {}, size=size)


def _compare(connection: Connection, files: _Files) -> Iterator[Finding]:
    if not files.digests:
        yield Finding(verdict=Verdict.UNKNOWN, what=files.what, path=files.folder)
        return
    names = sorted(files.digests)
    found = read_checksums(connection, files.folder, names, files.size)
    if found is None or not any(found.values()):
        path = files.folder if len(names) > 1 else posixpath.join(files.folder, names[0])
        yield Finding(verdict=Verdict.GONE, what=files.what, path=path)
        return
    for name in names:
        path = posixpath.join(files.folder, name)
        if found[name]:
            is_same = found[name] == files.digests[name]
            verdict = Verdict.SAME if is_same else Verdict.CHANGED
            yield Finding(verdict=verdict, what=files.what, path=path)
        elif files.is_complete:
            yield Finding(verdict=Verdict.MISSING, what=files.what, path=path)


def _compare_image(connection: Connection, handle: JobHandle, provenance: Document) -> Finding:
    image, engine = provenance["image"], provenance["engine"]["command"]
    reply = connection.call("mlcr_print_image_platform", image["name"], *engine)
    words = reply.text.split()
    now = words[1].removeprefix("sha256:") if reply.ok and len(words) > 1 else None
    verdict = Verdict.SAME if now == image["id"] else Verdict.CHANGED if now else Verdict.GONE
    return Finding(verdict=verdict, what=f"{handle.host}: image", path=image["name"])
