# SPDX-License-Identifier: Apache-2.0
"""Unique names: of runs, jobs and containers, and of a cube's directory on a host."""

from __future__ import annotations

import getpass
import hashlib
import platform
import re
import secrets
from datetime import datetime, timezone
from functools import cache
from pathlib import Path

_DIGITS = "234567abcdefghijklmnopqrstuvwxyz"
"""Thirty-two characters in the order in which programs sort them."""
_RUN_ID = re.compile(r"\d{6}-\d{6}-[a-z2-7]{16}")
_JOB_ID = re.compile(rf"(?P<run>{_RUN_ID.pattern})-(?P<name>.+)-[0-9a-f]{{12}}")


def new_run_id() -> str:
    """Return a new run id such as ``261123-190233-k3j5h2g7x4q6w2ez``.

    It is the UTC time, for people, two characters that continue it, and 70 random bits. So sorted
    ids are in the order of time, also those of one second. It is safe in file names, container
    names and labels.
    """
    now = datetime.now(timezone.utc)
    part = now.microsecond * len(_DIGITS) ** 2 // 1_000_000
    token = "".join(secrets.choice(_DIGITS) for _ in range(14))
    return (
        f"{now:%y%m%d-%H%M%S}-{_DIGITS[part // len(_DIGITS)]}{_DIGITS[part % len(_DIGITS)]}{token}"
    )


def is_run_id(text: str) -> bool:
    """Return whether ``text`` has the form of a run id."""
    return _RUN_ID.fullmatch(text) is not None


@cache
def client_id() -> str:
    """Return 12 hex digits that identify this user on this machine.

    They are part of the name of a cube's directory on a host. Thus two users, or two machines of
    one user, never upload different cubes into one directory.
    """
    machine = Path("/etc/machine-id")
    identity = machine.read_text() if machine.is_file() else platform.node()
    return _digest(f"{getpass.getuser()}\0{identity.strip()}")


@cache
def client_name() -> str:
    """Return ``user@machine``, for people to read."""
    return f"{getpass.getuser()}@{platform.node()}"


def slug(name: str, *, of: str) -> str:
    """Return ``<name>-<hash>``: a readable directory name that is unique for ``of``.

    Args:
        name: The readable part; characters outside ``[A-Za-z0-9._-]`` become ``_``.
        of: What the directory is for, such as the absolute path of a cube on this machine.
    """
    readable = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._-")[:40] or "cube"
    return f"{readable}-{_digest(client_id(), of)}"


def job_id(run_id: str, name: str) -> str:
    """Return the id of a job, which names its directory and is part of its containers' names.

    Args:
        run_id: The job's run.
        name: Unique in the run: the host's name, or the job's own name.
    """
    return f"{run_id}-{slug(name, of=name)}"


def parse_job_id(job: str) -> tuple[str, str] | None:
    """Return the run id and the readable name in a job's id; ``None`` if it is not a job's id."""
    match = _JOB_ID.fullmatch(job)
    return None if match is None else (match["run"], match["name"])


def container_name(uid: str, job: str, number: int) -> str:
    """Return the name of the container of a job's ``number``-th task (counted from 1).

    The job's id is part of the name, because two hosts may share one engine.
    """
    return f"mlcr-{uid}-{job}-{number}"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:12]


def label(job: str, host: str) -> str:
    """Return what a job is called in front of people: ``gpu01``, or ``07@gpu01``.

    Args:
        job: The job's own name, where its host may have several of one run.
        host: Its host's name; nothing while it has none.
    """
    return f"{job}@{host}" if job and host else job or host
