# SPDX-License-Identifier: Apache-2.0
"""``hosts add``: write a host into ``hosts.yaml`` after the user has compared its key."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from mlcube_remote import yamlsource
from mlcube_remote.app.new_cube import read_schema
from mlcube_remote.app.observer import Warn
from mlcube_remote.app.options import AskCredentials
from mlcube_remote.errors import HostKeyError, InventoryError, UnreachableError, UsageError
from mlcube_remote.inventory import load
from mlcube_remote.inventory.ansible_files import is_ansible_yaml, looks_like_ini
from mlcube_remote.inventory.edit import add_host
from mlcube_remote.inventory.endpoint import parse_destination
from mlcube_remote.inventory.locate import own_file
from mlcube_remote.inventory.model import Host, Inventory
from mlcube_remote.inventory.programs import is_program
from mlcube_remote.runs.atomic import write_atomically
from mlcube_remote.yamlsource import shown_path

if TYPE_CHECKING:
    from mlcube_remote.transport.offered_keys import OfferedKey

_SCHEMA_FILE = ".hosts-schema.json"

Confirm = Callable[["OfferedKey"], bool]
"""Shows the user an unknown key, and returns whether it is right."""


@attrs.frozen(kw_only=True)
class NewHost:
    """A host that was added."""

    name: str
    file: Path
    """The inventory."""
    key: OfferedKey


def add(
    name: str,
    destination: str | None,
    inventory: str | None,
    credentials: AskCredentials,
    confirm: Confirm,
    warn: Warn,
) -> NewHost:
    """Add a host to the user's inventory.

    Args:
        name: Its name.
        destination: ``[user@]address[:port]``; ``None``: ssh_config knows the name.
        inventory: Path of the inventory, if the user named one; a missing file is created.
        credentials: Returns the secrets for the logins to jump hosts.
        confirm: Asked if the key of the host is unknown.
        warn: Shows notes of the connection.

    Raises:
        UsageError: An argument is wrong, or the user does not confirm the key.
        InventoryError: The file is wrong, has the host, or cannot be written.
        HostError: The host cannot be reached, or its key has changed.
    """
    file = own_file(inventory)
    keys = _keys(destination)
    _, after = add_host(_read(file), file, name, keys)
    key = _ask_for_key(after.hosts[name], after, credentials, warn)
    if not key.is_known:
        if not confirm(key):
            raise UsageError(f"{name}: not added, because you did not confirm its key")
        key.trust()
    # The file may have changed while the user compared the key.
    text, _ = add_host(_read(file), file, name, keys)
    _write(file, text)
    return NewHost(name=name, file=file, key=key)


def check_fingerprint(key: OfferedKey, expected: str, name: str) -> bool:
    """Return true if the key has the fingerprint that the user gave.

    Raises:
        HostKeyError: It has another one.
    """
    if key.fingerprint != expected.rstrip("="):
        raise HostKeyError(
            name,
            f"its host key is {key.kind} {key.fingerprint}, expected {expected}",
            hint="the server may have keys of several kinds: give the fingerprint of this kind; or "
            "another machine answers",
        )
    return True


def _keys(destination: str | None) -> dict[str, Any]:
    if destination is None:
        return {}
    try:
        found = parse_destination(destination.removeprefix("ssh://"))
    except ValueError as problem:
        raise UsageError(f"USER@ADDRESS: {problem}") from problem
    keys = {"address": found.host, "user": found.user, "port": found.port}
    return {key: value for key, value in keys.items() if value is not None}


def _ask_for_key(
    host: Host, inventory: Inventory, credentials: AskCredentials, warn: Warn
) -> OfferedKey:
    from mlcube_remote.transport.credentials import Credentials  # noqa: PLC0415 - slow to import
    from mlcube_remote.transport.offered_keys import offered_key  # noqa: PLC0415
    from mlcube_remote.transport.questions import Answers  # noqa: PLC0415

    if host.is_local:
        raise UsageError(f"{host.name} is this machine, which is always in the inventory")
    given = credentials()
    secrets = Credentials(
        password=given.password, passphrase=given.passphrase, answers=given.answers or Answers()
    )
    try:
        return offered_key(host, inventory, secrets, warn)
    except UnreachableError as problem:
        if host.address is None:
            usual = f"; {problem.hint}" if problem.hint else ""
            problem.hint = (
                f"give the address: mlcube-remote hosts add {shlex.quote(host.name)} USER@ADDRESS"
                f"{usual}"
            )
        raise


def _read(file: Path) -> str:
    """Return the text of a ``hosts.yaml``, or the first line of a new one."""
    if not file.exists():
        return f"# yaml-language-server: $schema={_SCHEMA_FILE}\n"
    if is_program(file):
        raise InventoryError(
            f"{shown_path(file)}: expected a hosts.yaml to write to, and it is a program",
            hint="add the host where the program reads its list, or name another file: "
            "--inventory=FILE",
        )
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise InventoryError(f"{shown_path(file)}: cannot be read: {problem}") from problem
    if looks_like_ini(text) or is_ansible_yaml(
        yamlsource.parse(text, path=file, error=InventoryError), load.TOP_KEYS
    ):
        raise InventoryError(
            f"{shown_path(file)}: expected a hosts.yaml to write to, and it is an inventory of "
            "Ansible",
            hint="add the host there in an editor, or name another file: --inventory=FILE",
        )
    return text


def _write(file: Path, text: str) -> None:
    """Replace a file; a link to it stays, and so do its permissions."""
    real = Path(os.path.realpath(file))
    is_new = not real.exists()
    try:
        real.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if is_new:
            write_atomically(
                real.with_name(_SCHEMA_FILE), read_schema("hosts"), mode=0o644, durable=True
            )
        mode = 0o644 if is_new else stat.S_IMODE(real.stat().st_mode)
        write_atomically(real, text, mode=mode, durable=True)
        if not is_new:
            real.chmod(mode)
    except OSError as problem:
        raise InventoryError(
            f"{shown_path(file)}: cannot be written: {problem.strerror}"
        ) from problem
