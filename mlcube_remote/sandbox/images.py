# SPDX-License-Identifier: Apache-2.0
"""The images of sandbox hosts: built once, and again only when their recipe changes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from mlcube_remote.sandbox import engine
from mlcube_remote.sandbox.flavours import Engine, Flavour

REPOSITORY = "mlcube-remote/sandbox"

_INSIDE = {
    Engine.OWN: ("nested", "their own Docker engine"),
    Engine.PODMAN: ("podman", "Podman"),
    Engine.APPTAINER: ("apptainer", "Apptainer"),
}
"""The recipe, and what its hosts have, where the engine is part of the image."""


def ensure_image(flavour: Flavour, note: Callable[[str], None]) -> str:
    """Return the name of the image for hosts of *flavour*, building it where it is absent.

    The tag is a digest of the recipe, so an image that is present is the right one.

    Args:
        flavour: The kind of host.
        note: Told in one line what takes long.

    Raises:
        SandboxError: An image could not be had.
    """
    host = _tag("host")
    name, told = _INSIDE.get(flavour.engine, ("host", ""))
    wanted = host if name == "host" else _tag(name, host)
    if engine.is_present(wanted):
        return wanted
    if not engine.is_present(engine.BASE_IMAGE):
        note(f"getting {engine.BASE_IMAGE} (once; under a minute)")
        engine.ensure_base_image()
    if not engine.is_present(host):
        note("building the image of the SSH hosts (once; under a minute)")
        engine.docker("build", "--tag", host, str(_recipe("host")))
    if wanted != host:
        note(f"building the image of hosts with {told} (once; under a minute)")
        recipe = str(_recipe(name))
        engine.docker("build", "--build-arg", f"HOST_IMAGE={host}", "--tag", wanted, recipe)
    return wanted


def _recipe(name: str) -> Path:
    return Path(str(resources.files("mlcube_remote.sandbox"))) / "images" / name


def _tag(name: str, base: str = engine.BASE_IMAGE) -> str:
    digest = hashlib.sha256(base.encode())
    for part in sorted(_recipe(name).iterdir()):
        digest.update(part.name.encode() + b"\0" + part.read_bytes() + b"\0")
    return f"{REPOSITORY}-{name}:{digest.hexdigest()[:12]}"
