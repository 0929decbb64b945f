# SPDX-License-Identifier: Apache-2.0
"""Images of sandbox hosts: built once, and again only if their recipe has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from mlcube_remote.sandbox import engine
from mlcube_remote.sandbox.flavours import Engine, Flavour

REPOSITORY = "mlcube-remote/sandbox"

_ENGINE_RECIPES = {
    Engine.OWN: ("nested", "their own Docker engine"),
    Engine.ROOTLESS: ("rootless", "rootless Docker"),
    Engine.PODMAN: ("podman", "Podman"),
    Engine.APPTAINER: ("apptainer", "Apptainer"),
}
"""Engines inside the image: the recipe, and a description of its hosts."""


def ensure_image(flavour: Flavour, note: Callable[[str], None]) -> str:
    """Return the name of the image for hosts of *flavour*; build it if it does not exist.

    The tag is a digest of the recipe, so an existing image is up to date.

    Args:
        flavour: The kind of host.
        note: Called with one line before a step that takes long.

    Raises:
        SandboxError: An image could not be pulled or built.
    """
    host = _tag("host")
    name, engine_name = _ENGINE_RECIPES.get(flavour.engine, ("host", ""))
    image = host if name == "host" else _tag(name, host)
    if engine.is_present(image):
        return image
    if not engine.is_present(engine.BASE_IMAGE):
        note(f"pulling {engine.BASE_IMAGE} (once; under a minute)")
        engine.ensure_base_image()
    if not engine.is_present(host):
        note("building the image of the SSH hosts (once; under a minute)")
        engine.docker("build", "--tag", host, str(_recipe("host")))
    if image != host:
        note(f"building the image of hosts with {engine_name} (once; under a minute)")
        recipe = str(_recipe(name))
        engine.docker("build", "--build-arg", f"HOST_IMAGE={host}", "--tag", image, recipe)
    return image


def _recipe(name: str) -> Path:
    return Path(str(resources.files("mlcube_remote.sandbox"))) / "images" / name


def _tag(name: str, base: str = engine.BASE_IMAGE) -> str:
    digest = hashlib.sha256(base.encode())
    for part in sorted(_recipe(name).iterdir()):
        digest.update(part.name.encode() + b"\0" + part.read_bytes() + b"\0")
    return f"{REPOSITORY}-{name}:{digest.hexdigest()[:12]}"
