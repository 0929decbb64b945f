# SPDX-License-Identifier: Apache-2.0
"""Keys of ``mlcube.yaml`` that have no effect, and files of formats that MLCube no longer reads."""

from __future__ import annotations

import re
import shlex
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

import yaml

from mlcube_remote.platforms import SETTINGS
from mlcube_remote.suggestions import did_you_mean

CUBE_KEYS = ("platform", "tasks", *SETTINGS)
TASK_KEYS = ("parameters", "entrypoint")
PARAMETER_KEYS = ("type", "default", "opts")
"""Keys with an effect: an unknown key that looks like one of these is refused."""

_NOTES: Mapping[str, frozenset[str]] = {
    "cube": frozenset(
        {
            *("name", "description", "author", "authors", "version", "license"),
            # Sections of other runners of MLCube.
            *("runner", "ssh", "gcp", "k8s", "kubeflow", "sagemaker"),
        }
    ),
    "platform": frozenset(
        {
            *("accelerator_maker", "accelerator_model", "need_internet_access"),
            *("host_memory_gb", "host_disk_space_gb"),
        }
    ),
    "task": frozenset({"description"}),
    "parameter": frozenset({"description"}),
    "group": frozenset(),
}
"""Level → keys that MLCube knows and that have no effect on a run."""

_REFERENCE = re.compile(r"\$\{\s*([^\s{}:]+)\s*\}")
_WORKSPACE_VARIABLE = re.compile(r"^\$\{?WORKSPACE\}?/?")


_MAX_PARTS = 10
"""Number of parts of a dotted name that are looked at; no key of a cube is deeper."""

_PRESENT_FORMAT = (
    "docker: {image: NAME} and tasks: {NAME: {parameters: {inputs: {…}, outputs: {…}}}}"
)


def find_references(value: Any) -> set[str]:
    """Return the keys that interpolations in a value name, such as ``docker.image``.

    The keys above are included (``docker``), and a part of a relative name has a dot (``.image``).
    """
    match value:
        case str():
            names = _REFERENCE.findall(value)
            return {part for name in names for part in _expand(name)}
        case Mapping():
            return {name for item in value.values() for name in find_references(item)}
        case list():
            return {name for item in value for name in find_references(item)}
        case _:
            return set()


def _expand(name: str) -> Iterator[str]:
    parts = name.split(".", _MAX_PARTS)[:_MAX_PARTS]
    if name.startswith("."):
        yield from (f".{part}" for part in parts)
    else:
        yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def is_used(level: str, path: tuple[str, ...], references: Container[str]) -> bool:
    """Return whether an unknown key is a note that MLCube knows, or a variable that is used."""
    names = (".".join(path), f".{path[-1]}")
    return path[-1] in _NOTES[level] or any(name in references for name in names)


def suggest_key(key: object, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown key; empty if no known key is similar."""
    if key == "container":  # in 2021
        return " (did you mean 'docker'?)"
    return did_you_mean(key, known)


def describe_old_format(data: Mapping[str, Any]) -> tuple[tuple[str, ...], str, str] | None:
    """Return what is old in a cube of 2020 or 2021: key path, problem and hint.

    Returns:
        ``None`` if the format is the present one.
    """
    tasks = data.get("tasks")
    kind = str(data.get("schema_type", ""))
    if kind.startswith(("mlcube_", "mlbox_")) or (
        isinstance(tasks, list) and all(str(item).endswith((".yaml", ".yml")) for item in tasks)
    ):
        path = ("schema_type",) if kind else ("tasks",)
        return (
            path,
            "this is the format of 2020, with a file for each task",
            f"write one mlcube.yaml: {_PRESENT_FORMAT}",
        )
    if not isinstance(tasks, Mapping):
        return None
    for name, body in tasks.items():
        if isinstance(body, Mapping) and isinstance(body.get("io"), list):
            container = " and docker: instead of container:" if "container" in data else ""
            return (
                ("tasks", str(name), "io"),
                "this is the format of 2021, with the parameters in a list",
                f"write{container} parameters: {_convert(body['io'])} instead of io:",
            )
    return None


def _convert(items: list[Any]) -> str:
    """Return the parameters of a list as the present format writes them."""
    groups: dict[str, dict[str, Any]] = {"inputs": {}, "outputs": {}}
    for item in items:
        if isinstance(item, Mapping) and "name" in item:
            default = _WORKSPACE_VARIABLE.sub("", str(item.get("default", item["name"])))
            kept = {"type": item["type"]} if "type" in item else {}
            group = "outputs" if item.get("io") == "output" else "inputs"
            groups[group][str(item["name"])] = {**kept, "default": default or "./"}
    written = {key: value for key, value in groups.items() if value}
    text: str = yaml.safe_dump(written, default_flow_style=True, sort_keys=False, width=10_000)
    return text.strip()


def describe_words(value: Any) -> str | None:
    """Return a list of words as one text, as a hint; ``None`` if it is no list of words."""
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return f"write one text: {shlex.join(value)}"
    return None
