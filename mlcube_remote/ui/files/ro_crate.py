# SPDX-License-Identifier: Apache-2.0
"""Export a run as a Process Run Crate: an RO-Crate that says what was made by which command.

https://w3id.org/ro/wfrun/process describes the profile.
"""

from __future__ import annotations

import mimetypes
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from mlcube_remote._version import __version__
from mlcube_remote.errors import UsageError
from mlcube_remote.runs.attempts import job_name, latest_attempts
from mlcube_remote.runs.ids import slug

if TYPE_CHECKING:
    from rocrate.rocrate import ROCrate

PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
_CONTEXT = "https://w3id.org/ro/terms/workflow-run/context"
_TERMS = "https://w3id.org/ro/terms/workflow-run#"
_BASE_VERSION = "1.1"
"""Version of RO-Crate that the profile is written for."""
_FORMATS = {".jsonl": "application/jsonl", ".yaml": "application/yaml", ".yml": "application/yaml"}
"""Media types that Python does not know."""

Document = Mapping[str, Any]


def write_ro_crate(attempts: list[dict[str, Any]], index: Document, directory: Path) -> None:
    """Write a run as an RO-Crate, with copies of its outputs.

    Args:
        attempts: The record of each attempt; the last one of each job counts.
        index: The index of the run's results.
        directory: A directory that does not exist, or is empty.

    Raises:
        UsageError: The directory has files, or the package rocrate is not installed or too old.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UsageError(f"--ro-crate={directory}: has files", hint="name a new directory")
    try:
        from rocrate.rocrate import ROCrate  # noqa: PLC0415 - optional, and slow to import
    except ImportError as problem:
        raise UsageError(
            "--ro-crate needs the package rocrate",
            hint="pip install 'mlcube-remote[ro-crate]'",
        ) from problem
    try:
        crate = ROCrate(version=_BASE_VERSION)
    except TypeError as problem:
        raise UsageError(
            "--ro-crate needs the package rocrate of version 0.15 or later",
            hint="pip install --upgrade rocrate",
        ) from problem
    cube = index["cube"] or {}
    last = latest_attempts(attempts)
    crate.metadata.extra_contexts.append(_CONTEXT)
    root = crate.root_dataset
    root["name"] = f"Run {index['run']} of the MLCube {cube.get('name')}"
    root["description"] = "Results of an MLCube that mlcube-remote ran, and what they come from."
    root["license"] = "not specified"
    if index["client"]:
        root["author"] = _person(crate, str(index["client"]))
    profile = _add(crate, PROFILE, "CreativeWork", name="Process Run Crate", version="0.5")
    root["conformsTo"] = profile
    instrument = _instrument(crate, cube, last)
    for attempt in last:
        root.append_to("mentions", _action(crate, attempt, instrument))
    crate.write(directory)


def _add(crate: ROCrate, identifier: str, kind: str | list[str], /, **properties: Any) -> Any:
    from rocrate.model.contextentity import ContextEntity  # noqa: PLC0415 - as above

    known = {key: value for key, value in properties.items() if value is not None}
    entity = ContextEntity(crate, identifier, properties={"@type": kind, **known})
    return crate.add(entity)


def _instrument(crate: ROCrate, cube: Document, attempts: Sequence[Document]) -> Any:
    path = Path(str(cube.get("path", "")))
    name = f"MLCube {cube.get('name')}"
    versions = {_version((each["provenance"] or {}).get("cube") or {}) for each in attempts}
    version = versions.pop() if len(versions) == 1 else None
    if path.is_file():
        properties = {"@type": ["File", "SoftwareSourceCode"], "name": name}
        properties |= {"encodingFormat": _FORMATS[".yaml"]}
        properties |= {} if version is None else {"version": version}
        return crate.add_file(path, dest_path="cube/mlcube.yaml", properties=properties)
    return _add(crate, "#cube", "SoftwareApplication", name=name, softwareVersion=version)


def _version(cube: Document) -> str | None:
    """Return what names the state of a cube: its commit if that is all, or else its digest."""
    git = cube.get("git")
    return str(git["commit"]) if git and not git["dirty"] else cube.get("sha256")


def _action(crate: ROCrate, attempt: Document, instrument: Any) -> Any:
    found = attempt["provenance"] or {}
    tasks = found.get("tasks", ())
    command = found.get("client", {}).get("command")
    status = "Completed" if attempt["status"] == "succeeded" else "Failed"
    client = str(found.get("client", {}).get("name") or "unknown")
    action = _add(
        crate,
        f"#{attempt['id']}",
        "CreateAction",
        name=f"Job {job_name(dict(attempt))} on {attempt['host']}",
        description=shlex.join(command) if command else f"mlcube-remote {__version__}",
        startTime=_time(min, [task.get("started_ms") for task in tasks]),
        endTime=_time(max, [task.get("finished_ms") for task in tasks]),
        actionStatus=f"http://schema.org/{status}ActionStatus",
        error=None if status == "Completed" else _reason(attempt),
    )
    action["instrument"] = instrument
    action["agent"] = _person(crate, client)
    image = _image(crate, found.get("image") or {})
    if image is not None:
        action["containerImage"] = image
    for name, value in attempt["parameters"].items():
        place = f"#parameter-{attempt['id']}-{name}"
        action.append_to("object", _add(crate, place, "PropertyValue", name=name, value=value))
    for item in found.get("inputs", ()):
        action.append_to("object", _input(crate, item))
    folder = slug(job_name(dict(attempt)), of=str(attempt["id"]))
    for output in attempt["outputs"]:
        entity = _output(crate, output, folder)
        if entity is not None:
            action.append_to("result", entity)
    return action


def _person(crate: ROCrate, name: str) -> Any:
    return _add(crate, f"#{name}", "Person", name=name)


def _image(crate: ROCrate, image: Document) -> Any | None:
    digest = image.get("sha256") or image.get("id")
    if not digest:
        return None
    kind = "SIFImage" if image.get("sha256") else "DockerImage"
    return _add(
        crate,
        f"#image-{digest[:12]}",
        "ContainerImage",
        name=image["name"],
        additionalType={"@id": _TERMS + kind},
        sha256=digest,
        identifier=image["digests"] or None,
    )


def _input(crate: ROCrate, item: Document) -> Any:
    """Describe an input, which is not copied: it may be large, or on a host only."""
    return _add(
        crate,
        f"#input-{item['task']}-{item['name']}-{(item['sha256'] or 'unread')[:12]}",
        "PropertyValue",
        name=f"{item['task']}.{item['name']}",
        value=item["path"],
        sha256=item["sha256"],
    )


def _output(crate: ROCrate, output: Document, folder: str) -> Any | None:
    path = Path(output["path"])
    if output.get("sha256") is None or output.get("state") == "unchanged" or not path.exists():
        return None
    place = PurePosixPath("outputs", folder, slug(output["task"], of=""), path.name)
    properties = {"name": f"{output['task']}.{output['name']}", "sha256": output["sha256"]}
    if path.is_dir():
        return crate.add_dataset(path, dest_path=str(place), properties=properties)
    properties["encodingFormat"] = _format(path)
    return crate.add_file(path, dest_path=str(place), properties=properties)


def _format(path: Path) -> str:
    found = _FORMATS.get(path.suffix) or mimetypes.guess_type(path.name)[0]
    return found or "application/octet-stream"


def _time(choose: Any, times: Sequence[int | None]) -> str | None:
    known = [value for value in times if value is not None]
    if not known:
        return None
    time = datetime.fromtimestamp(choose(known) / 1000, timezone.utc)
    return time.isoformat(timespec="milliseconds")


def _reason(attempt: Document) -> str:
    reasons = [
        f"{task['task']}: {task['reason']}" for task in attempt["tasks"] if task.get("reason")
    ]
    error = attempt["error"]
    return "; ".join(reasons) or (str(error["message"]) if error else str(attempt["status"]))
