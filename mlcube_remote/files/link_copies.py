# SPDX-License-Identifier: Apache-2.0
"""Send what links lead to, and links that rsync cannot send as they are.

rsync judges a link by its text, and follows all links or none. So a small tree beside the real one
says what to send in the place of each such link: a link to a path of this machine means "send what
is there"; a relative link is sent as a link. rsync's ``--copy-unsafe-links`` does exactly this.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import attrs

from mlcube_remote.errors import PlanError
from mlcube_remote.files.input_scan import InputScan, Link, is_plain
from mlcube_remote.formatting import list_first
from mlcube_remote.trust.private_places import describe_private_place


@attrs.frozen(kw_only=True)
class LinkCopies:
    """What to send in the places of links. Names are relative to the top of the tree."""

    top: Path
    """The tree with the links."""
    directories: Mapping[str, Path] = attrs.field(factory=dict)
    """Directory to make → directory of this machine with the same modes and times."""
    links: Mapping[str, str] = attrs.field(factory=dict)
    """Name → text of the link in the small tree."""
    followed: Mapping[str, Path] = attrs.field(factory=dict)
    """Link that is followed → where it leads, for the user to read."""
    names: tuple[str, ...] = ()
    """Links of the tree that are followed."""
    replaced: tuple[str, ...] = ()
    """Those of them that rsync would send as links."""

    def __bool__(self) -> bool:
        return bool(self.links)

    def write(self, folder: Path) -> None:
        """Make the small tree in an empty directory."""
        made: dict[Path, Path] = {}
        for name, like in self.directories.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            made[folder / name] = like
        for name, text in self.links.items():
            for parent in Path(name).parents:
                made.setdefault(folder / parent, self.top / parent)
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(text)
        # The deepest first: making an entry changes the time of its directory.
        for path in sorted(made, reverse=True):
            shutil.copystat(made[path], path)
            path.chmod(path.stat().st_mode | 0o700)


def rewrite_links(top: Path, names: Iterable[str]) -> LinkCopies:
    """Return relative links in the place of those links that lead to something in the tree.

    Args:
        top: The tree.
        names: Links in it that rsync did not send.
    """
    scan = InputScan(top)
    for name in names:
        if os.path.islink(top / name):  # else it was removed meanwhile
            scan.note_link(name)
    return LinkCopies(
        top=top, links={link.name: _relative(link.name, _end(scan, link)) for link in scan.inside}
    )


def _end(scan: InputScan, link: Link) -> str:
    end = scan.ends_inside(link)
    assert end is not None  # noqa: S101 - only called for links to something in the tree
    return end


def _relative(name: str, target: str) -> str:
    text = os.path.relpath(target, os.path.dirname(name) or ".")
    # rsync does not send a link that ends with "/..".
    return f"{text}/." if os.path.basename(text) == ".." else text


def plan_copies(top: Path, leaving: Sequence[Link]) -> LinkCopies:
    """Plan to send what links lead to, and what links in there lead to.

    Raises:
        PlanError: A link leads to data that is not sent through a link, or that cannot be read.
    """
    plan = _Plan(top)
    sent: list[str] = []
    # In the order of the parts of their paths, what is below a link follows it.
    for parts, link in sorted((link.data.split("/"), link.name) for link in leaving):
        # What is behind another link that is followed is sent with it.
        if not sent or parts[: len(sent)] != sent:
            sent, name = parts, "/".join(parts)
            plan.copy(name, Path(os.path.realpath(top / name)), (), str(top / link))
    return LinkCopies(
        top=top,
        directories=plan.directories,
        links=plan.links,
        followed=plan.followed,
        names=tuple(link.name for link in leaving),
        replaced=tuple(link.name for link in leaving if is_plain(link)),
    )


_Copied = tuple[tuple[Path, str], ...]
"""Directories that are being copied → where they go; each contains a link to the next."""


@attrs.define
class _Plan:
    top: Path
    directories: dict[str, Path] = attrs.field(factory=dict)
    links: dict[str, str] = attrs.field(factory=dict)
    followed: dict[str, Path] = attrs.field(factory=dict)
    _real_top: Path = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._real_top = Path(os.path.realpath(self.top))

    def copy(self, name: str, target: Path, copied: _Copied, link: str) -> None:
        """Send ``target`` as ``name``; ``link`` is the link that leads there."""
        for source, place in ((self._real_top, "."), *copied):
            if target.is_relative_to(source):
                # Also a circle of links ends here.
                inside = os.path.normpath(os.path.join(place, target.relative_to(source)))
                self.links[name] = _relative(name, inside)
                return
            if source.is_relative_to(target):
                raise PlanError(
                    f"{link} leads to {target}, which contains the link",
                    hint="let it lead to the data only, or exclude it in .mlcubeignore",
                )
        if reason := describe_private_place(target):
            raise PlanError(
                f"{link} leads to {target}, which {reason}: it is not sent through a link",
                hint=f"exclude the link in .mlcubeignore; or, if you want to send it, name it "
                f"as an input: NAME=local:{target}",
            )
        self.followed[link] = target
        self._send(name, target, copied)

    def _send(self, name: str, target: Path, copied: _Copied) -> None:
        scan = InputScan(target)
        scan.add(target)
        if scan.unreadable or not os.access(target, os.R_OK):
            raise unreadable_error(target, scan.unreadable)
        odd = [link for link in scan.inside if not is_plain(link)]
        if not (odd or scan.leaving or scan.dangling):
            self.links[name] = str(target)
            return
        changed: dict[str, str] = {}
        for link in odd:
            changed[link.name] = _relative(link.name, _end(scan, link))
        within = {link.name: link for link in scan.leaving}
        omitted = {link.name for link in scan.dangling if not is_plain(link)}
        self._expand(name, target, {*changed, *within, *omitted})
        for inner, text in changed.items():
            self.links[f"{name}/{inner}"] = text
        for inner, link in within.items():
            assert link.end is not None  # noqa: S101 - a link that leaves leads somewhere
            place = f"{name}/{inner}"
            self.copy(place, link.end, (*copied, (target, name)), str(target / inner))

    def _expand(self, name: str, target: Path, special: set[str]) -> None:
        """Send a directory piece by piece, without the links in ``special``."""
        parents = {str(parent) for each in special for parent in Path(each).parents}
        for folder in sorted(parents):
            place = name if folder == "." else f"{name}/{folder}"
            self.directories[place] = target / folder
            for entry in os.scandir(target / folder):
                inner = entry.name if folder == "." else f"{folder}/{entry.name}"
                if inner in special or inner in parents:
                    continue
                text = os.readlink(entry.path) if entry.is_symlink() else str(target / inner)
                self.links[f"{name}/{inner}"] = text


def unreadable_error(top: Path, names: Iterable[str]) -> PlanError:
    """Return the error for data that this user cannot read."""
    paths = [top / name for name in names] or [top]
    is_own = all(_owner(path) in {None, os.geteuid()} for path in paths)
    raise_rights = "chmod -R u+rX" if is_own else "sudo chmod -R a+rX"
    common = paths[0] if len(paths) == 1 else Path(os.path.commonpath(paths))
    return PlanError(
        f"{paths[0]} cannot be read"
        if len(paths) == 1
        else f"{len(paths)} files or directories cannot be read: {list_first(paths, 3)}",
        hint=f"run: {raise_rights} {common}; or exclude the data in .mlcubeignore",
    )


def _owner(path: Path) -> int | None:
    try:
        return path.lstat().st_uid
    except OSError:
        return None
