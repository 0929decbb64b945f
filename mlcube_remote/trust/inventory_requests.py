# SPDX-License-Identifier: Apache-2.0
"""List what the ``hosts.yaml`` of a cube asks for beyond naming hosts.

Addresses, users, ports, groups and labels need no question. Every other key has power over this
machine or over a host: it starts programs, names keys and files of the user, or relaxes a check.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mlcube_remote.platforms import PLATFORMS
from mlcube_remote.trust.requests import CubeRequest
from mlcube_remote.yamlsource import YamlDocument

_HARMLESS = frozenset(
    {
        "address",
        "connect_timeout",
        "gpus",
        "jump",
        "keepalive",
        "labels",
        "platform",
        "port",
        "slots",
        "user",
    }
)


def inventory_requests(document: YamlDocument) -> tuple[CubeRequest, ...]:
    """Return the requests of an inventory that belongs to a cube; its content is valid."""
    top = document.data if isinstance(document.data, Mapping) else {}
    hosts = top.get("hosts") or {}
    found = [
        *_host_requests(document, ("defaults",), "all hosts", top.get("defaults")),
        *(
            request
            for name, given in hosts.items()
            for request in _host_requests(document, ("hosts", name), f"host {name}", given)
        ),
    ]
    return tuple(dict.fromkeys(found))


def _host_requests(
    document: YamlDocument, path: tuple[Any, ...], owner: str, given: Any
) -> Iterator[CubeRequest]:
    for key, value in (given or {}).items():
        if key in _HARMLESS or (key, value) == ("connection", "ssh"):
            continue
        inner = (*path, key)
        if key in PLATFORMS or key == "slurm":
            for setting, item in (value or {}).items():
                where = document.where((*inner, setting))
                yield CubeRequest(where=where, what=f"{owner}: {key}.{setting}: {item}")
        else:
            # The values of variables may be secret: a terminal and a record get their names only.
            shown = ", ".join(map(str, value)) if isinstance(value, (Mapping, list)) else value
            yield CubeRequest(where=document.where(inner), what=f"{owner}: {key}: {shown}")
