# SPDX-License-Identifier: Apache-2.0
"""How a fake host describes its mirror, and starts a job in one call."""

from __future__ import annotations

import hashlib
import os
import shlex
import stat
from collections.abc import Callable, Mapping, Sequence
from time import gmtime, strftime

from mlcube_remote.remote import status
from mlcube_remote.transport.base import Reply
from tests.support.fake_host_state import HostConnection, HostState
from tests.support.fake_jobs import records
from tests.support.fake_library import FUNCTIONS


def describe(host: HostState, words: Sequence[str]) -> bytes:
    """Return what ``mlcr_describe_mirror`` prints of a mirror that is equal to the cube."""
    assert host.mirrored is not None
    full, modified, *paths = words
    lengths = [12] * int(full) + [8] * int(modified)
    lengths += [4] * (len(paths) - len(lengths))
    # The cube is above all that is sent for it.
    top = min(paths, key=len)
    lines = []
    for path, length in zip(paths, lengths, strict=True):
        about = (host.mirrored / os.path.relpath(path, top)).stat()
        mode = about.st_mode | (0o700 if stat.S_ISDIR(about.st_mode) else 0o600)
        times = f"{_time(about.st_mtime_ns)} {_time(about.st_ctime_ns)}"
        line = f"{mode:x} 1000 7 {about.st_ino} {about.st_size} {times} {path}"
        lines.append(" ".join(line.split(" ")[:length]) + "\n")
    return "".join(lines).encode() + host.unlike


def _time(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 10**9)
    return f"{strftime('%Y-%m-%d %H:%M:%S', gmtime(seconds))}.{rest:09d} +0000"


def _launch_and_describe(host: HostState, at: HostConnection, mirror: str, *words: str) -> Reply:
    done = FUNCTIONS["mlcr_launch_job"](host, at, *words)
    return Reply(0, describe(host, shlex.split(mirror)), b"") if done.ok else done


def _start_unchanged(host: HostState, at: HostConnection, *words: str) -> Reply:
    known, probe, _, _, image, answer, mirror, digest, claim, *launch = words
    probed = FUNCTIONS["mlcr_probe_host"](host, at, *shlex.split(probe))
    found = FUNCTIONS["mlcr_print_image_platform"](host, at, *shlex.split(image))

    def changed(what: str) -> Reply:
        return Reply(status.CHANGED, probed.stdout + records({"changed": what}), b"")

    if not probed.text.replace("\0", "\036").startswith(known):
        return changed("host")
    if found.text.strip() != answer:
        return changed("image")
    if not FUNCTIONS["mlcr_claim_job"](host, at, *shlex.split(claim)).ok:
        return changed("claim")
    if hashlib.sha256(describe(host, shlex.split(mirror))).hexdigest() != digest:
        FUNCTIONS["mlcr_release_job"](host, at, launch[0])
        return changed("mirror")
    assert FUNCTIONS["mlcr_launch_job"](host, at, *launch).ok
    return probed


MIRROR_FUNCTIONS: Mapping[str, Callable[..., Reply]] = {
    "mlcr_launch_and_describe": _launch_and_describe,
    "mlcr_start_unchanged": _start_unchanged,
}
