# SPDX-License-Identifier: Apache-2.0
"""How a fake host answers rsync: it sends the files that it holds in memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mlcube_remote.transport.base import Reply
from mlcube_remote.transport.fake import RSYNC
from tests.support.fake_host_state import HostConnection, HostState


def answer_rsync(host: HostState, connection: HostConnection, args: Sequence[str]) -> Reply:
    source, target = args[-2:]
    if not source.startswith("host:"):
        return _transferred(1, 10)
    stdin = next(call.stdin for call in reversed(connection.calls) if call.function == RSYNC)
    names = [os.fsdecode(name) for name in stdin.split(b"\0")[:-1]]
    remote = source.removeprefix("host:").rstrip("/")
    sent = {
        path: content
        for path, content in host.files.items()
        if any(f"{path}/".startswith(f"{remote}/{name}/") for name in names)
    }
    for path, content in sent.items():
        here = Path(target, os.path.relpath(path, remote))
        here.parent.mkdir(parents=True, exist_ok=True)
        here.write_bytes(content)
    return _transferred(len(sent), sum(map(len, sent.values())))


def _transferred(files: int, size: int) -> Reply:
    text = f"Number of regular files transferred: {files}\nTotal transferred file size: {size} B\n"
    return Reply(0, text.encode(), b"")
