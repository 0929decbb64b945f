# SPDX-License-Identifier: Apache-2.0
"""Usage of hosts and their GPUs, as ``mlcube-remote hosts top`` prints it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlcube_remote.events.documents import error_document
from mlcube_remote.facts.usage import GpuUsage, HostUsage
from mlcube_remote.formatting import readable_size
from mlcube_remote.runs.ids import parse_job_id
from mlcube_remote.ui.tables.columns import format_table, shorten, unreachable_lines
from mlcube_remote.ui.text import one_line


def usage_text(hosts: Sequence[HostUsage], *, width: int | None = None) -> str:
    """Return a table of hosts, a table of their GPUs, and the hosts without an answer.

    Args:
        hosts: The hosts.
        width: Columns of the terminal; ``None``: no limit.
    """
    answers = [host for host in hosts if host.error is None]
    header = ["host", "jobs", "slots", "load", "cpus", "memory free", "disk free", "gpus free"]
    parts = []
    if answers:
        spare = ("cpus", "slots", "load", "jobs")
        rows = [_row(host) for host in answers]
        parts.append(format_table(header, rows, width=width, spare=spare, shrink=("host",)))
    gpus = [_gpu_row(host, gpu) for host in answers for gpu in host.gpus]
    if gpus:
        titles = ["host", "gpu", "model", "memory", "busy", "used by"]
        shrink = ("model", "used by", "host")
        parts.append(format_table(titles, gpus, width=width, spare=("busy",), shrink=shrink))
    if lines := unreachable_lines((host.host, host.error) for host in hosts):
        parts.append("\n".join(shorten(line, width) if width else line for line in lines))
    return "\n\n".join(parts)


def _row(host: HostUsage) -> list[str]:
    free = sum(gpu.is_free for gpu in host.gpus)
    return [
        host.host,
        _number(host.jobs),
        str(host.slots),
        "-" if host.load is None else f"{host.load:.2f}",
        _number(host.cpus),
        _size(host.memory_free, host.memory),
        _size(host.disk_free, host.disk),
        f"{free} of {len(host.gpus)}" if host.gpus else "-",
    ]


def _gpu_row(host: HostUsage, gpu: GpuUsage) -> list[str]:
    return [
        host.host,
        gpu.index,
        one_line(gpu.name),
        _size(gpu.memory_used, gpu.memory),
        "-" if gpu.busy is None else f"{gpu.busy}%",
        one_line(_user(gpu)),
    ]


def _user(gpu: GpuUsage) -> str:
    """Return the run that leased a GPU, else the users of its processes."""
    if gpu.job is None:
        unused = "-" if gpu.is_ours else "- (not in the inventory's gpus)"
        return ", ".join(gpu.users) or unused
    run = parse_job_id(gpu.job)
    return f"run {run[0]} ({run[1]})" if run else gpu.job


def _size(part: int | None, total: int | None) -> str:
    if part is None:
        return "-"
    return readable_size(part) + (f" of {readable_size(total)}" if total is not None else "")


def _number(number: int | None) -> str:
    return "-" if number is None else str(number)


def usage_document(hosts: Sequence[HostUsage]) -> dict[str, Any]:
    """Return the same as JSON; sizes are bytes."""
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
