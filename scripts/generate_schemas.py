# SPDX-License-Identifier: Apache-2.0
"""Write the JSON Schemas of mlcube.yaml and hosts.yaml, which editors use.

The names come from the tables that the parsers read. tests/unit/test_schemas.py holds the schemas
against the parsers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mlcube_remote.inventory.host_fields import CHECKS
from mlcube_remote.inventory.slurm import CHECKS as SLURM_CHECKS
from mlcube_remote.platforms import PLATFORMS, SETTINGS, Kind, Setting

FOLDER = Path(__file__).parents[1] / "mlcube_remote" / "schemas"

_DRAFT = "http://json-schema.org/draft-07/schema#"  # the one that editors know
_TEXT = {"type": "string", "minLength": 1}
_OPTIONAL_TEXT = {"type": ["string", "null"]}
_SCALAR = {"type": ["string", "number", "boolean", "null"]}
_REFERENCE = {"type": "string", "pattern": r"\$\{"}
"""A value with an interpolation, such as ``${docker.image}``."""

_KINDS: dict[Kind, dict[str, Any]] = {
    Kind.TEXT: {"type": ["string", "null"]},
    Kind.SCALAR: {"type": ["string", "number", "null"]},
    Kind.WORDS: {"type": ["string", "null"]},
    Kind.PAIRS: {
        "anyOf": [
            {"type": ["string", "null"]},
            {"type": "object", "additionalProperties": _SCALAR},
        ]
    },
    Kind.SWITCH: {"type": ["boolean", "string", "null"]},
}


def _setting(setting: Setting, *, has_references: bool) -> dict[str, Any]:
    shown = {"description": setting.doc}
    if setting.kind is not Kind.CHOICE:
        return {**_KINDS[setting.kind], **shown}
    choices: dict[str, Any] = {"enum": [*setting.choices, None]}
    return {**({"anyOf": [choices, _REFERENCE]} if has_references else choices), **shown}


def _section(name: str, *, has_references: bool) -> dict[str, Any]:
    return {
        "type": ["object", "null"],
        "description": f"Settings of {name}; see docs/reference/platforms.md.",
        "properties": {
            key: _setting(setting, has_references=has_references)
            for key, setting in SETTINGS[name].items()
        },
        "additionalProperties": False,
    }


def cube_schema() -> dict[str, Any]:
    """Return the schema of mlcube.yaml."""
    name = {"pattern": r"^[^-=\x00-\x1f][^=\x00-\x1f]*$"}
    parameter = {
        "anyOf": [
            {"type": ["string", "null"]},
            {
                "type": "object",
                "properties": {
                    "default": {**_OPTIONAL_TEXT, "description": "A path; relative: workspace."},
                    "type": {
                        "anyOf": [{"enum": ["file", "directory", "unknown", None]}, _REFERENCE]
                    },
                    "opts": {"anyOf": [{"enum": ["ro", "rw", None]}, _REFERENCE]},
                },
            },
        ]
    }
    group = {"type": ["object", "null"], "propertyNames": name, "additionalProperties": parameter}
    task = {
        "type": ["object", "null"],
        "properties": {
            "entrypoint": {**_OPTIONAL_TEXT, "description": "Default: that of the image."},
            "parameters": {
                "type": ["object", "null"],
                "properties": {"inputs": group, "outputs": group},
            },
            "inputs": False,
            "outputs": False,
        },
    }
    sections = {each: _section(each, has_references=True) for each in SETTINGS}
    for section in sections.values():
        section["properties"]["runner"] = {}
    return {
        "$schema": _DRAFT,
        "title": "mlcube.yaml",
        "type": "object",
        "required": ["tasks"],
        "properties": {
            "name": _OPTIONAL_TEXT,
            "description": _OPTIONAL_TEXT,
            "authors": {},
            "platform": {
                "type": ["object", "null"],
                "properties": {"accelerator_count": {"type": ["integer", "string", "null"]}},
            },
            **sections,
            "tasks": {
                "type": "object",
                "minProperties": 1,
                "propertyNames": name,
                "additionalProperties": task,
            },
        },
    }


_SECONDS = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 86_400}
_NAMES = {"type": "string", "pattern": r"^[A-Za-z0-9_\[]"}
_SLURM_WORD = {"type": ["string", "number"]}
_SLURM_WORDS = {"anyOf": [_SLURM_WORD, {"type": "array", "items": _SLURM_WORD}]}
_SLURM_KEYS: dict[str, dict[str, Any]] = {
    "partition": _SLURM_WORD,
    "account": _SLURM_WORD,
    "qos": _SLURM_WORD,
    "time": {**_SLURM_WORD, "description": "Minutes, H:MM:SS or D-HH:MM:SS, in quotes."},
    "gres": _SLURM_WORD,
    "constraint": _SLURM_WORD,
    "nodes": {"type": ["integer", "string"], "minimum": 1},
    "exclusive": {"type": ["boolean", "string"]},
    "modules": {
        **_SLURM_WORDS,
        "description": "Modules to load, on the compute node and to build the image.",
    },
    "setup": {"type": "string", "description": "Shell text that runs before the tasks."},
    "extra": {**_SLURM_WORDS, "description": "Further options of sbatch."},
    "trials_per_job": {
        "type": ["integer", "string"],
        "minimum": 1,
        "maximum": 1000,
        "description": "Trials of a sweep that share a batch job.",
    },
    "requeue": {
        "type": ["boolean", "string"],
        "description": "Whether Slurm may start a job again: for tasks that continue.",
    },
    "image_build": {"enum": ["login", "job"], "description": "Where the image is built."},
    "scratch": {
        "type": "string",
        "description": "Directory of the compute nodes for copies of what tasks mount.",
    },
}
_HOST_KEYS: dict[str, dict[str, Any]] = {
    "address": {**_TEXT, "description": "Name or IP address, without a port."},
    "port": {"type": "integer", "minimum": 1, "maximum": 65_535},
    "user": _TEXT,
    "identity_file": {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]},
    "known_hosts": _TEXT,
    "jump": {**_TEXT, "description": "Hosts to go through, commas between."},
    "host_keys": {"enum": ["strict", "accept-new"]},
    "transport": {"enum": ["auto", "paramiko", "openssh"]},
    "connect_timeout": _SECONDS,
    "keepalive": {"type": "number", "minimum": 0, "exclusiveMaximum": 86_400},
    "min_rate": {"type": "number", "minimum": 0, "exclusiveMaximum": 2**40},
    "remote_root": {"type": "string", "pattern": "^(/|~/)"},
    "platform": {"enum": list(PLATFORMS)},
    "connection": {"enum": ["ssh", "local"]},
    "copy_links": {"type": "boolean"},
    "image_source": {**_TEXT, "description": "The host that builds or pulls the image for it."},
    "launcher": {"enum": ["setsid", "slurm"]},
    "slurm": {
        "type": "object",
        "description": "What jobs ask Slurm for; see docs/how-to/slurm.md.",
        "properties": _SLURM_KEYS,
        "additionalProperties": False,
    },
    "slots": {"type": "integer", "minimum": 1, "maximum": 1024},
    "gpus": {
        "anyOf": [
            {"const": "auto"},
            {
                "type": "array",
                "minItems": 1,
                "uniqueItems": True,
                "items": {"type": ["integer", "string"]},
            },
        ]
    },
    "labels": {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}},
    "env": {
        "anyOf": [
            {"type": "array", "items": {"type": "string", "pattern": r"^[A-Za-z_][A-Za-z0-9_]*$"}},
            {"type": "object", "additionalProperties": {"type": ["string", "number", "null"]}},
        ]
    },
}


def hosts_schema() -> dict[str, Any]:
    """Return the schema of hosts.yaml."""
    assert _HOST_KEYS.keys() == CHECKS.keys(), _HOST_KEYS.keys() ^ CHECKS.keys()  # noqa: S101
    assert _SLURM_KEYS.keys() == SLURM_CHECKS.keys()  # noqa: S101
    host = {
        "type": ["object", "null"],
        "properties": {
            **_HOST_KEYS,
            **{each: _section(each, has_references=False) for each in SETTINGS},
        },
        "additionalProperties": False,
    }
    members = {"anyOf": [_NAMES, {"type": "array", "items": {"type": "string"}}]}
    return {
        "$schema": _DRAFT,
        "title": "hosts.yaml of mlcube-remote",
        "type": "object",
        "properties": {
            "defaults": host,
            "hosts": {
                "type": ["object", "null"],
                "propertyNames": _NAMES,
                "additionalProperties": host,
            },
            "groups": {"type": ["object", "null"], "additionalProperties": members},
        },
        "additionalProperties": False,
    }


def schemas() -> dict[Path, str]:
    """Return file → its text."""
    documents = {"mlcube.json": cube_schema(), "hosts.json": hosts_schema()}
    return {
        FOLDER / name: json.dumps(document, indent=1, ensure_ascii=False) + "\n"
        for name, document in documents.items()
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for path, text in schemas().items():
        path.write_text(text, encoding="utf-8")
