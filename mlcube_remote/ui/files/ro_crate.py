# SPDX-License-Identifier: Apache-2.0
"""Export a run as a Process Run Crate: an RO-Crate that says what was made by which command.

https://w3id.org/ro/wfrun/process describes the profile.
"""

from __future__ import annotations

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

Document = Mapping[str, Any]


def write_ro_crate(attempts: list[dict[str, Any]], index: Document, directory: Path) -> None:
    """Write a run as an RO-Crate, with copies of its outputs.

    Args:
        attempts: The record of each attempt; the last one of each job counts.
        index: The index of the run's results.
        directory: A directory that does not exist, or is empty.

    Raises:
        UsageError: The directory has files, or the package rocrate is not installed.
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
    crate = ROCrate()
    cube = index["cube"] or {}
    crate.metadata.extra_contexts.append(_CONTEXT)
    root = crate.root_dataset
    root["name"] = f"Run {index['run']} of the MLCube {cube.get('name')}"
    root["description"] = "Results of an MLCube that mlcube-remote ran, and what they come from."
    root["license"] = "not specified"
    profile = _add(crate, PROFILE, "CreativeWork", name="Process Run Crate", version="0.5")
    root.append_to("conformsTo", profile)
    instrument = _instrument(crate, cube)
    for attempt in latest_attempts(attempts):
        root.append_to("mentions", _action(crate, attempt, instrument))
    crate.write(directory)


def _add(crate: ROCrate, identifier: str, kind: str | list[str], **properties: Any) -> Any:
    from rocrate.model.contextentity import ContextEntity  # noqa: PLC0415 - as above

    known = {key: value for key, value in properties.items() if value is not None}
    entity = ContextEntity(crate, identifier, properties={"@type": kind, **known})
    return crate.add(entity)


def _instrument(crate: ROCrate, cube: Document) -> Any:
    path = Path(str(cube.get("path", "")))
    name = str(cube.get("name"))
    if path.is_file():
        properties = {"@type": ["File", "SoftwareSourceCode"], "name": f"MLCube {name}"}
        return crate.add_file(path, dest_path="cube/mlcube.yaml", properties=properties)
    return _add(crate, "#cube", "SoftwareApplication", name=f"MLCube {name}")


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
    action["agent"] = _add(crate, f"#{client}", "Person", name=client)
    for item in found.get("inputs", ()):
        action.append_to("object", _input(crate, item))
    folder = slug(job_name(dict(attempt)), of=str(attempt["id"]))
    for output in attempt["outputs"]:
        entity = _output(crate, output, folder)
        if entity is not None:
            action.append_to("result", entity)
    return action


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
    add = crate.add_dataset if path.is_dir() else crate.add_file
    return add(path, dest_path=str(place), properties=properties)


def _time(choose: Any, times: Sequence[int | None]) -> str | None:
    known = [value for value in times if value is not None]
    if not known:
        return None
    return datetime.fromtimestamp(choose(known) / 1000, timezone.utc).isoformat()


def _reason(attempt: Document) -> str:
    reasons = [
        f"{task['task']}: {task['reason']}" for task in attempt["tasks"] if task.get("reason")
    ]
    error = attempt["error"]
    return "; ".join(reasons) or (str(error["message"]) if error else str(attempt["status"]))
