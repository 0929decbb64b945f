# SPDX-License-Identifier: Apache-2.0
"""Read an inventory in any of its forms as the content of a ``hosts.yaml``.

It is a ``hosts.yaml``; a program that prints JSON; or a file or directory of Ansible. Inside a
cube, a program needs the user's trust, and so does ``ansible-inventory``: it can start programs.
"""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import attrs

from mlcube_remote import yamlsource
from mlcube_remote.budgets import MAX_BYTES
from mlcube_remote.errors import InventoryError
from mlcube_remote.inventory.ansible import (
    OWN_VARIABLE,
    AnsibleInventory,
    Translation,
    read_listing,
    translate,
)
from mlcube_remote.inventory.ansible_files import (
    is_ansible_yaml,
    looks_like_ini,
    read_ini,
    read_yaml,
    without_tags,
)
from mlcube_remote.inventory.load import TOP_KEYS
from mlcube_remote.inventory.programs import has_ansible, is_program, run_ansible, run_program
from mlcube_remote.trust.requests import CubeRequest
from mlcube_remote.yamlsource import YamlDocument, shown_path

_YAML = frozenset({".yaml", ".yml", ".json"})
_BESIDE = ("group_vars", "host_vars")


class MayRun(Protocol):
    """Says whether the user allows a request of a cube; raises an error if it must be allowed."""

    def __call__(self, request: CubeRequest, *, must: bool) -> bool:
        """Return whether it is allowed."""
        ...


def read_source(path: Path, *, may_run: MayRun | None) -> Translation:
    """Read an inventory.

    Args:
        path: The file or directory.
        may_run: Whether programs may run, because the path is inside a cube; ``None``: it is the
            user's own.

    Raises:
        InventoryError: It cannot be read, or a program that it needs is not allowed or fails.
    """
    if is_program(path):
        if may_run is not None:
            may_run(program_request(path), must=True)
        return _from_json(run_program(path), path)
    if path.is_dir():
        return _ask_ansible(path, may_run)
    uses_ansible = has_ansible() and (may_run is None or may_run(program_request(path), must=False))
    if path.suffix not in _YAML:
        text = _read_text(path)
        _refuse_program(path, text)
        if path.suffix == ".ini" or looks_like_ini(text):
            return _as_ini(
                _ask_ansible(path) if uses_ansible else _read_alone(read_ini(text, path), path)
            )
    document = _load_yaml(path)
    top = document.data if isinstance(document.data, Mapping) else {}
    if "plugin" in top:
        return _ask_ansible(path, may_run)
    if "_meta" in top:
        return _from_json(top, path)
    if not is_ansible_yaml(document, TOP_KEYS):
        return Translation(document=document)
    return _ask_ansible(path) if uses_ansible else _read_alone(read_yaml(document), path)


def _as_ini(source: Translation) -> Translation:
    """Return the same with hints in the form of an INI file."""
    variable = f'{OWN_VARIABLE}={{"host_keys": "accept-new"}}'
    name = shown_path(source.document.path)
    return attrs.evolve(source, trust_setting=f"`{variable}` under `[all:vars]` in {name}")


def _load_yaml(path: Path) -> YamlDocument:
    """Read a YAML file; if it is Ansible's, it may have the tags of Ansible's encrypted texts."""
    try:
        return yamlsource.load(path, error=InventoryError)
    except InventoryError:
        text = _read_text(path)
        plain = without_tags(text)
        if plain == text:
            raise
        document = yamlsource.parse(plain, path=path, error=InventoryError)
        if not is_ansible_yaml(document, TOP_KEYS):
            raise
        return document


def _read_alone(inventory: AnsibleInventory, path: Path) -> Translation:
    """Translate what was read without Ansible, if that is all there is."""
    if found := [name for name in _BESIDE if (path.parent / name).is_dir()]:
        raise InventoryError(
            f"{shown_path(path)}: only ansible-inventory reads {found[0]}/, which is beside it",
            hint="install it (pip install ansible-core); for a file inside a cube, it also needs "
            f"your trust: mlcube-remote trust --inventory={shlex.quote(str(path))} CUBE",
        )
    return translate(inventory, path)


def program_request(path: Path) -> CubeRequest:
    """Return the request of an inventory inside a cube to run programs on this machine.

    For a program, the request has the digest of its content: another program needs another yes.
    """
    if is_program(path):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        what = f"the program {path.name} runs on this machine to list hosts (SHA-256 {digest})"
    else:
        what = f"ansible-inventory reads {path.name}, and may run programs of the cube"
    return CubeRequest(where=shown_path(path), what=what, inventory=path)


def _ask_ansible(path: Path, may_run: MayRun | None = None) -> Translation:
    if may_run is not None:
        may_run(program_request(path), must=True)
    if not has_ansible():
        what = "a directory" if path.is_dir() else "a plugin"
        raise InventoryError(
            f"{shown_path(path)}: {what} of Ansible, and ansible-inventory is not installed",
            hint="install it (pip install ansible-core), or name one INI or YAML file",
        )
    inventory = read_listing(run_ansible(path), path)
    if not inventory.hosts:  # it only warns of what it cannot read
        raise InventoryError(
            f"{shown_path(path)}: ansible-inventory finds no host in it",
            hint=f"it says why: ansible-inventory --list -i {shlex.quote(str(path))}",
        )
    return translate(inventory, path)


def _from_json(document: Any, path: Path) -> Translation:
    """Return the inventory in a JSON document: in the form of Ansible, or of hosts.yaml."""
    if (
        isinstance(document, Mapping)
        and document.keys() <= set(TOP_KEYS)
        and isinstance(document.get("hosts"), Mapping)
    ):
        setting = f"`host_keys: accept-new` under `defaults:` of what {shown_path(path)} prints"
        own = YamlDocument(path=path, data=document, positions={})
        return Translation(document=own, trust_setting=setting)
    return translate(read_listing(document, path), path)


def _refuse_program(path: Path, text: str) -> None:
    """Refuse a program that would be read as a list of hosts."""
    if text.startswith("#!") and not os.access(path, os.X_OK):
        raise InventoryError(
            f"{shown_path(path)}: is a program, and is not executable",
            hint=f"if it lists hosts: chmod +x {shlex.quote(str(path))}",
        )


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as problem:
        raise InventoryError(f"{shown_path(path)}: cannot be read: {problem.strerror}") from problem
    if len(raw) > MAX_BYTES:
        raise InventoryError(
            f"{shown_path(path)}: expected a file of at most {MAX_BYTES // 2**20} MiB"
        )
    return raw.decode("utf-8-sig", "replace")
