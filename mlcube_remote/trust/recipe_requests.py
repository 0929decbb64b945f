# SPDX-License-Identifier: Apache-2.0
"""What a definition file of Singularity or Apptainer asks for outside the container that it builds.

``%setup`` and ``%pre`` run on the host. ``%files`` copies from the host. Some bootstrap agents
start programs of the host, or read its files. The parser follows Apptainer's: a line whose first
word starts with ``%`` starts a section, and a line that starts with ``Bootstrap:`` starts a stage,
also in the middle of a section. Where versions of the engine may read a text in different ways, it
counts as a request.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs

from mlcube_remote.cube.host_paths import normalize
from mlcube_remote.cube.model import Cube
from mlcube_remote.trust.requests import CubeRequest

MAX_BYTES = 1024 * 1024
"""Maximum size of a definition file that is read."""

_HOST_SCRIPTS = {"setup", "pre"}
_COPIES = {"files", "appfiles"}
_HARMLESS = {
    *("help", "labels", "environment", "post", "runscript", "test", "startscript", "arguments"),
    *("appinstall", "applabels", "appenv", "apptest", "apphelp", "apprun", "appstart"),
}
_REMOTE_AGENTS = {"docker", "library", "oras", "shub", "scratch"}
_FILE_AGENTS = {"localimage", "docker-archive", "oci", "oci-archive"}
"""Agents whose ``From`` is a path."""

_FROM_STAGE = "files from a stage"
_RUNS = "runs on the host, outside the container"

_is_stage = re.compile(r"bootstrap:", re.IGNORECASE).match
_has_odd_space = re.compile(r"[^\S \t]").search
"""White space that not every engine takes for white space."""
_words = re.compile(r"\"([^\"]*)\"|([^\s\"']+)")
_is_plain = re.compile(r"[^\0-\x1f\x7f$`\\;&|<>(){}~!'\"]*").fullmatch
"""Paths without characters that some versions give to a shell of the host."""


_DEFAULT = "Singularity.recipe"
_SECTIONS = ("singularity", "apptainer")


def cube_recipe_requests(cube: Cube) -> Iterator[CubeRequest]:
    """Yield what the definition files in a cube ask for, for a list of all requests."""
    named = (str(cube.settings.get(section, {}).get("build_file") or "") for section in _SECTIONS)
    for name in dict.fromkeys((_DEFAULT, *named)):
        path = cube.root / name
        if is_inside(name) and path.is_file():  # a pipe would block
            with open(path, "rb") as file:
                content = file.read(MAX_BYTES)
                yield from recipe_requests(cube.root, name, content, read_recipe(content))


def recipe_requests(root: Path, name: str, content: bytes, recipe: Recipe) -> Iterable[CubeRequest]:
    """Return what a definition file asks for.

    Args:
        root: The cube's directory.
        name: The file's path in the directory.
        content: Its content.
        recipe: What :func:`read_recipe` found in it.
    """
    # A yes is for this content only: a request shows one line of a script.
    digest = hashlib.sha256(content).hexdigest()[:32]
    return tuple(
        CubeRequest(
            where=f"{root / name}:{request.line}",
            what=f"{name}: '{request.text}' {request.reason} (content {digest})",
        )
        for request in recipe.requests
    )


@attrs.frozen(kw_only=True)
class RecipeRequest:
    """One thing that a definition file asks for outside its container."""

    line: int
    """Counted from 1."""
    text: str
    """The line, or the section and its first command."""
    reason: str
    """What it does: ``runs on the host, outside the container``."""


@attrs.frozen(kw_only=True)
class Recipe:
    """What a definition file does outside the container that it builds."""

    requests: tuple[RecipeRequest, ...]
    """What needs trust, in the order of the file."""
    copied: tuple[str, ...]
    """Paths and patterns of files of the cube that it copies, relative to the cube's directory."""


def read_recipe(content: bytes) -> Recipe:
    """Return what a definition file does outside its container."""
    # Bytes that are no text become characters that are no white space and no part of a plain name.
    text = content.decode("utf-8", "backslashreplace")
    reader = _Reader()
    for number, line in enumerate(text.split("\n"), 1):
        reader.read(number, line.removesuffix("\r"))
    reader.end_header()
    requests = sorted(reader.requests, key=lambda request: request.line)
    return Recipe(requests=tuple(requests), copied=tuple(dict.fromkeys(reader.copied)))


def is_inside(path: str) -> bool:
    """Return whether a path of a recipe stays in the cube's directory, as text."""
    return not path.startswith(("/", "~")) and ".." not in path.split("/") and path != ""


@attrs.define
class _Reader:
    requests: list[RecipeRequest] = attrs.field(factory=list)
    copied: list[str] = attrs.field(factory=list)
    section: str = ""
    """Empty: the header of a stage."""
    opened: tuple[int, str] | None = None
    """The line of a ``%setup`` or ``%pre`` that has had no command yet."""
    agents: list[tuple[int, str]] = attrs.field(factory=list)
    """The values of ``Bootstrap`` in this stage: of several, versions may use different ones."""
    sources: list[tuple[int, str]] = attrs.field(factory=list)
    """The values of ``From`` in this stage."""

    def read(self, number: int, line: str) -> None:
        stripped = line.strip()
        leading = line[: len(line) - len(line.lstrip())]
        if _has_odd_space(leading) or (_has_odd_space(line) and self.section in {"", *_COPIES}):
            self.request(number, stripped, "has white space that engines read in different ways")
        elif _is_stage(line):
            self.end_header()
            self.section = ""
            self.read_header(number, stripped)
        elif stripped.startswith("%"):
            self.start_section(number, stripped)
        elif stripped.startswith("{{"):
            self.request(number, stripped, "may become a section, because a variable starts it")
        elif stripped and (not stripped.startswith("#") or self.is_interpreter(stripped)):
            self.read_body(number, stripped)

    def is_interpreter(self, line: str) -> bool:
        """Return whether a comment names the program that runs a script of the host."""
        return self.opened is not None and line.startswith("#!")

    def start_section(self, number: int, line: str) -> None:
        self.end_header()
        name, *arguments = line.lstrip("%").split("#")[0].split() or [""]
        self.section = name.lower()
        self.opened = (number, line) if self.section in _HOST_SCRIPTS else None
        if self.opened and arguments:
            self.request(number, line, _RUNS)
        elif self.section == "files" and len(arguments) == 2 and arguments[0] == "from":
            self.section = _FROM_STAGE
        elif self.section not in {*_HOST_SCRIPTS, *_COPIES, *_HARMLESS}:
            self.request(number, line, "is no section that is known to be harmless")

    def read_body(self, number: int, line: str) -> None:
        if not self.section:
            self.read_header(number, line)
        elif self.opened is not None:
            self.request(self.opened[0], f"{self.opened[1]}: {line}", _RUNS)
            self.opened = None
        elif self.section in _COPIES:
            self.read_copy(number, line)
        elif self.section == _FROM_STAGE and _may_leave_stage(line):
            self.request(number, line, "may copy from or to the host")

    def read_copy(self, number: int, line: str) -> None:
        rest = _words.sub("", line)
        source, *target = [quoted or word for quoted, word in _words.findall(line)] or [""]
        if rest.strip() or not all(map(_is_plain, (source, *target))):
            self.request(number, line, "copies files of the host whose names are not plain")
        elif not is_inside(source):
            self.request(number, line, "copies files of the host from outside the cube")
        elif any(".." in path.split("/") for path in target):
            self.request(number, line, "may copy to the host")
        else:
            self.copied.append(normalize(source))

    def read_header(self, number: int, line: str) -> None:
        key, _, value = line.split("#", maxsplit=1)[0].partition(":")
        values = {"bootstrap": self.agents, "from": self.sources}.get(key.strip().lower())
        if values is not None:
            values.append((number, value.strip()))

    def end_header(self) -> None:
        for number, agent in self.agents:
            if agent.lower() in _FILE_AGENTS:
                for place, source in self.sources or [(number, "")]:
                    self.read_source(place, agent, source)
            elif agent.lower() not in _REMOTE_AGENTS:
                reason = "starts programs of the host, or uses its images"
                self.request(number, f"Bootstrap: {agent}", reason)
        self.agents, self.sources = [], []

    def read_source(self, number: int, agent: str, source: str) -> None:
        path = source if agent.lower() == "localimage" else source.partition(":")[0]
        if is_inside(path) and _is_plain(path):
            self.copied.append(normalize(path))
        else:
            text = f"Bootstrap: {agent}, From: {source}"
            self.request(number, text, "reads a file of the host from outside the cube")

    def request(self, number: int, text: str, reason: str) -> None:
        self.requests.append(RecipeRequest(line=number, text=text, reason=reason))


def _may_leave_stage(line: str) -> bool:
    return "{{" in line or ".." in re.split(r"[\s/\"']+", line)
