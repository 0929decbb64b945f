# SPDX-License-Identifier: Apache-2.0
"""Walk a tree of this machine, and note what rsync would not send as it is.

Where a link leads is the answer of the file system. Its text says little: a path may leave a tree
and enter it again, or pass through another link.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path, PurePosixPath

import attrs

from mlcube_remote.files.filters import is_never_sent

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@attrs.frozen
class Link:
    """A link in a tree."""

    name: str
    """Its path, relative to the top of the tree."""
    text: str
    """What it contains."""
    end: Path | None
    """Where it leads, without further links; ``None``: nowhere, or in a circle."""
    below: str = ""
    """The part of an input's path after the link, if the link is on the way to the input."""

    @property
    def data(self) -> str:
        """The path of the data behind the link, relative to the top of the tree."""
        return str(PurePosixPath(self.name, self.below))


def is_plain(link: Link) -> bool:
    """Return whether every rsync sends the link: its text goes up only first, and not too far.

    rsync 3.4 and later treats all other links as if they left the tree.
    """
    parts = link.text.split("/")
    ups = next((number for number, part in enumerate(parts[:-1]) if part != ".."), len(parts) - 1)
    is_inside = ups < len(PurePosixPath(link.name).parts)
    return is_inside and parts[0] != "" and ".." not in parts[ups:]


@attrs.define
class InputScan:
    """What was found in parts of one tree. All names are relative to its top."""

    top: Path
    files: int = 0
    """Number of files."""
    inside: list[Link] = attrs.field(factory=list)
    """Links to something in the tree."""
    leaving: list[Link] = attrs.field(factory=list)
    """Links out of the tree."""
    dangling: list[Link] = attrs.field(factory=list)
    """Links that lead nowhere."""
    unreadable: list[str] = attrs.field(factory=list)
    """Files and directories that this user cannot read."""
    special: list[str] = attrs.field(factory=list)
    """Pipes, sockets and devices."""
    never_sent: list[str] = attrs.field(factory=list)
    """What has a name on the list :data:`NEVER_SENT`."""
    _real_top: Path = attrs.field(init=False)
    _seen: set[tuple[int, int]] = attrs.field(factory=set, init=False)
    """Directories that were walked: a link may lead to one of them."""

    def __attrs_post_init__(self) -> None:
        self._real_top = Path(os.path.realpath(self.top))

    def add(self, path: Path) -> None:
        """Walk ``path``, which is the top or below it, and what links in it lead to in the tree.

        Nothing is noted for a path that does not exist.
        """
        waiting = [path.relative_to(self.top).parts]
        while waiting:
            name = self._follow(waiting.pop())
            if name is not None:
                self._walk(name, waiting)

    def ends_inside(self, link: Link) -> str | None:
        """Return where the link leads, relative to the top; ``None`` if that is not in the tree."""
        if link.end is None or not link.end.is_relative_to(self._real_top):
            return None
        return link.end.relative_to(self._real_top).as_posix()

    def _follow(self, parts: tuple[str, ...]) -> str | None:
        """Return the path without links of a path in the tree; ``None`` if it leaves the tree."""
        name = PurePosixPath()
        for number, part in enumerate(parts, 1):
            name /= part
            if is_never_sent(part):
                self.never_sent.append(str(name))
            try:
                mode = os.lstat(self.top / name).st_mode
            except (FileNotFoundError, NotADirectoryError):
                return None
            except OSError:
                self.unreadable.append(str(name))
                return None
            if stat.S_ISLNK(mode):
                rest = parts[number:]
                inside = self.ends_inside(self.note_link(str(name), "/".join(rest)))
                return None if inside is None else self._follow((*Path(inside).parts, *rest))
        return str(name)

    def note_link(self, name: str, below: str = "") -> Link:
        """Note a link in the list that it belongs to."""
        path = self.top / name
        text = os.readlink(path)
        end: Path | None
        try:
            end = Path(os.path.realpath(path, strict=True))
        except PermissionError:
            end = Path(os.path.realpath(path))
        except OSError:
            end = None
        link = Link(name, text, end, below)
        if end is None:
            self.dangling.append(link)
        elif self.ends_inside(link) is None:
            self.leaving.append(link)
        else:
            self.inside.append(link)
        return link

    def _walk(self, start: str, ends: list[tuple[str, ...]]) -> None:
        """Walk a path without links; add the paths in the tree that links in it lead to."""
        path = self.top / start
        mode = os.lstat(path).st_mode
        if not stat.S_ISDIR(mode):
            self._note_file(start, is_file=stat.S_ISREG(mode), is_readable=os.access(path, os.R_OK))
            return
        waiting = [start]
        while waiting:
            self._list(waiting.pop(), waiting, ends)

    def _list(self, name: str, waiting: list[str], ends: list[tuple[str, ...]]) -> None:
        """Walk one directory: add directories to ``waiting``, and where links lead to ``ends``."""
        try:
            opened = os.open(self.top / name, _DIRECTORY)
        except FileNotFoundError:
            return  # it was removed meanwhile
        except OSError:
            self.unreadable.append(name)
            return
        try:
            status = os.fstat(opened)
            if (status.st_dev, status.st_ino) in self._seen:
                return
            self._seen.add((status.st_dev, status.st_ino))
            with os.scandir(opened) as entries:
                for entry in entries:
                    below = entry.name if name == "." else f"{name}/{entry.name}"
                    if is_never_sent(entry.name):
                        self.never_sent.append(below)
                    if entry.is_symlink():
                        with contextlib.suppress(FileNotFoundError):  # it was removed meanwhile
                            inside = self.ends_inside(self.note_link(below))
                            if inside is not None:
                                ends.append(Path(inside).parts)
                    elif entry.is_dir(follow_symlinks=False):
                        waiting.append(below)
                    else:
                        is_file = entry.is_file(follow_symlinks=False)
                        is_readable = os.access(entry.name, os.R_OK, dir_fd=opened)
                        self._note_file(below, is_file=is_file, is_readable=is_readable)
        except OSError:
            # For example a network file system that has lost its server.
            self.unreadable.append(name)
        finally:
            os.close(opened)

    def _note_file(self, name: str, *, is_file: bool, is_readable: bool) -> None:
        if not is_file:
            self.special.append(name)
        elif is_readable:
            self.files += 1
        elif os.path.lexists(self.top / name):  # else it was removed meanwhile
            self.unreadable.append(name)
