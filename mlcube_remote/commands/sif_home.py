# SPDX-License-Identifier: Apache-2.0
"""Give tasks on Singularity and Apptainer a home, a ``/tmp`` and a working directory of their own.

Both engines mount the home, ``/tmp`` and the working directory of the host's user writable, unless
an option says otherwise. A task needs all three, but not those of the user. Both also let a task
see the processes of the user, and leave behind what it started; so it gets processes of its own,
too.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

from mlcube_remote.commands.model import Argv
from mlcube_remote.commands.mounts import Mount, bind_sif
from mlcube_remote.commands.settings import Settings
from mlcube_remote.cube.host_paths import Layout

_FAKEROOT = {"--fakeroot", "-f"}


def private_home(settings: Settings, layout: Layout) -> str:
    """Return the path in the container of the task's own home; empty if it gets none.

    It is the path that the engine would use for the user's home.
    """
    if settings.values.get("private_home") is False:
        return ""
    is_root = not _FAKEROOT.isdisjoint(settings.words("run_args"))
    if is_root:
        return "/root"
    # Some system accounts have the root directory as their home.
    return "/tmp" if layout.home == "/" else layout.home  # noqa: S108 - no file


def private_directories(directory: str, home: str) -> tuple[str, ...]:
    """Return the home and the ``/tmp`` of a task; nothing if it has no home of its own."""
    return _directories(directory) if home else ()


def _directories(directory: str) -> tuple[str, str]:
    return posixpath.join(directory, "home"), posixpath.join(directory, "tmp")


def private_options(directory: str, home: str) -> Argv:
    """Return the engine's options for directories and processes of the task's own.

    The directories are mounted like data, because an engine mounts that last, and also if the site
    or the cube disables the home (``mount home = no``, ``--no-home``).

    With processes of its own (``--pid``), a task ends with all that it started. A process that
    stays could replace directories while those of the next task are checked.

    Args:
        directory: The directory that contains them, on the host.
        home: Path of the home in the container.
    """
    source, temporary = _directories(directory)
    # The home may be below /tmp.
    targets = {"/tmp": temporary, "/var/tmp": temporary, home: source}  # noqa: S108 - no files
    binds = (bind_sif(Mount(source=here, target=there)) for there, here in targets.items())
    # With a working directory, the engine does not mount the one of its own process.
    return ("--pid", "--no-home", *(word for bind in binds for word in bind), "--pwd", home)


def private_variables(dialect: str) -> Mapping[str, str]:
    """Return variables of the engine's process: it does not mount the ``/tmp`` of the user at all.

    Otherwise that one is below the task's own, and a task with ``--fakeroot`` may unmount. A
    variable, because old versions would refuse an option that they do not know.
    """
    return {f"{dialect.upper()}_NO_MOUNT": "tmp"}
