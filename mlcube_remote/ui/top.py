# SPDX-License-Identifier: Apache-2.0
"""What ``mlcube-remote hosts top`` prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlcube_remote.dispatch.documents import error_document
from mlcube_remote.dispatch.rsync import readable_size
from mlcube_remote.dispatch.top import GpuUse, HostTop
from mlcube_remote.runs.ids import parse_job_id
from mlcube_remote.ui.table import columns
from mlcube_remote.ui.text import one_line


def top_text(hosts: Sequence[HostTop]) -> str:
    """Return a table of hosts, a table of their GPUs, and who could not be asked."""
    asked = [host for host in hosts if host.error is None]
    header = ["host", "jobs", "slots", "load", "cpus", "memory free", "disk free", "gpus free"]
    parts = []
    if asked:
        parts.append(columns(header, [_row(host) for host in asked]))
    gpus = [_gpu_row(host, gpu) for host in asked for gpu in host.gpus]
    if gpus:
        parts.append(columns(["host", "gpu", "kind", "memory", "busy", "held by"], gpus))
    silent = [
        f"{host.host}: not asked: {one_line(host.error.reason)}"
        for host in hosts
        if host.error is not None
    ]
    if silent:
        parts.append("\n".join(silent))
    return "\n\n".join(parts)


def _row(host: HostTop) -> list[str]:
    free = sum(gpu.is_free for gpu in host.gpus)
    return [
        host.host,
        _told(host.jobs),
        str(host.slots),
        "-" if host.load is None else f"{host.load:.2f}",
        _told(host.cpus),
        _of(host.memory_free, host.memory),
        _of(host.disk_free, host.disk),
        f"{free} of {len(host.gpus)}" if host.gpus else "-",
    ]


def _gpu_row(host: HostTop, gpu: GpuUse) -> list[str]:
    return [
        host.host,
        gpu.index,
        one_line(gpu.name),
        _of(gpu.memory_used, gpu.memory),
        "-" if gpu.busy is None else f"{gpu.busy}%",
        one_line(_holder(gpu)),
    ]


def _holder(gpu: GpuUse) -> str:
    if gpu.job is None:
        nobody = "-" if gpu.is_ours else "- (not in the inventory's gpus)"
        return ", ".join(gpu.users) or nobody
    run = parse_job_id(gpu.job)
    return f"run {run[0]} ({run[1]})" if run else gpu.job


def _of(part: int | None, whole: int | None) -> str:
    if part is None:
        return "-"
    return readable_size(part) + (f" of {readable_size(whole)}" if whole is not None else "")


def _told(number: int | None) -> str:
    return "-" if number is None else str(number)


def top_document(hosts: Sequence[HostTop]) -> dict[str, Any]:
    """Return the same for programs; sizes are bytes."""
    return {
        "version": 1,
        "hosts": [
            {
                "host": host.host,
                "error": None if host.error is None else error_document(host.error),
                "load": host.load,
                "cpus": host.cpus,
                "memory": {"total": host.memory, "free": host.memory_free},
                "disk": {"total": host.disk, "free": host.disk_free},
                "jobs": host.jobs,
                "slots": host.slots,
                "gpus": [
                    {
                        "index": gpu.index,
                        "uuid": gpu.uuid,
                        "name": gpu.name,
                        "memory": {"total": gpu.memory, "used": gpu.memory_used},
                        "busy_percent": gpu.busy,
                        "job": gpu.job,
                        "users": list(gpu.users),
                        "leasable": gpu.is_ours,
                    }
                    for gpu in host.gpus
                ],
            }
            for host in hosts
        ],
    }
