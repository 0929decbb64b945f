# SPDX-License-Identifier: Apache-2.0
"""The functions of the shell library as a fake host answers them, from what it holds in memory."""

from __future__ import annotations

import hashlib
import os
import posixpath
import shlex
import time
from collections.abc import Callable, Mapping

from mlcube_remote.transport.base import Reply
from tests.support.fake_host_state import HostConnection, HostState, wait_until
from tests.support.fake_jobs import LIVE, FakeJob, is_gone, records, report, survey
from tests.support.sent import send_folder

OK = Reply(0, b"", b"")
_PIECE = 4
"""Bytes that one ``mlcr_print_bytes`` passes on."""


def _probe(host: HostState, _: HostConnection, root: str, cube: str, *paths: str) -> Reply:
    usual = {
        "home": "/home/ada",
        "root": root.replace("~", "/home/ada"),
        "user": "ada",
        "uid": "1000",
        "machine": "x86_64",
        "root_id": f"root-of-{host.name}",
        "rsync": "3.2.7",
    }
    kinds = b"".join(records({"kind": f"{_kind_of(host, path)}{path}"}) for path in paths)
    now = {"now": str(int(time.time())), **host.facts}
    return Reply(0, records({**usual, **host.facts}) + kinds + records({"now": now["now"]}), b"")


def _kind_of(host: HostState, path: str) -> str:
    if path in host.kinds:
        return host.kinds[path]
    if path in host.files:
        return "f"
    return "d" if any(file.startswith(f"{path}/") for file in host.files) else "-"


def _kind(host: HostState, _: HostConnection, path: str) -> Reply:
    return Reply(0, f"{_kind_of(host, path)}\n".encode(), b"")


def _image(host: HostState, _: HostConnection, image: str, *engine: str) -> Reply:
    if host.has_image:
        about = f"linux/{host.architecture} {host.image_id} []"
        return Reply(0, f"{about}\n{host.image_sources}\n20.10.24\n".encode(), b"")
    return Reply(1, b"", f"Error: No such image: {image}\n".encode())


def _attended(host: HostState, _: HostConnection, *words: str) -> Reply:
    host.has_image = host.build.ok
    labels = dict(word.partition("=")[::2] for word in words)
    host.image_sources = labels.get("org.mlcommons.mlcube-remote.sources", "")
    return host.build


def _reserve(
    host: HostState, connection: HostConnection, job_dir: str, request: str, lock: str, *more: str
) -> Reply:
    group = more[0]
    if job_dir in host.jobs:
        return Reply(17, b"", b"")
    holder, holders = host.locks.get(lock, ("", ""))
    kept = holder == job_dir or (bool(group) and holders == group)
    holder_job = host.jobs.get(holder)
    if holder_job is not None and holder_job.state in LIVE and not kept:
        facts = {"holder": holder, "state": holder_job.state, "request": holder_job.request}
        return Reply(16, records(facts), b"")
    host.jobs[job_dir] = FakeJob(job_dir, request, connection)
    host.locks[lock] = (job_dir, group)
    return Reply(0, records({"kept": "yes" if kept else ""}), b"")


def _give_back(host: HostState, _: HostConnection, job_dir: str) -> Reply:
    job = host.jobs.get(job_dir)
    if job is not None and job.tasks:
        return Reply(17, b"", b"")
    host.jobs.pop(job_dir, None)
    return OK


def _state(host: HostState, _: HostConnection, job_dir: str) -> Reply:
    state = host.jobs[job_dir].state if job_dir in host.jobs else "absent"
    return Reply(0, f"{state}\n".encode(), b"")


def _remove(host: HostState, _: HostConnection, root: str, job_id: str) -> Reply:
    job_dir = f"{root}/jobs/{job_id}"
    if job_dir not in host.jobs:
        return Reply(1, b"", b"")
    if host.jobs[job_dir].state in LIVE:
        return Reply(18, b"", b"")
    del host.jobs[job_dir]
    return OK


def _line(host: HostState, _: HostConnection, file: str) -> Reply:
    return Reply(0, host.jobs[file.removesuffix("/request")].request.encode(), b"")


def _write(host: HostState, _: HostConnection, path: str, how: str, text: str) -> Reply:
    before = host.files.get(path, b"") if how == "append" else b""
    host.files[path] = before + text.encode()
    return OK


def _lease(
    host: HostState, _: HostConnection, job_dir: str, count: str, engine: str, *only: str
) -> Reply:
    if not host.gpus:
        return Reply(127, b"", b"")
    taken = {
        uuid
        for job in host.jobs.values()
        for uuid in job.gpus
        if job.job_dir != job_dir and job.state in LIVE
    }
    named = [
        (str(index), uuid)
        for index, uuid in enumerate(host.gpus)
        if not only or {str(index), uuid} & set(only)
    ]
    free = [each for each in named if each[1] not in taken]
    if len(free) < int(count):
        return Reply(16, records({"free": len(free), "total": len(named)}), b"")
    chosen = free[: int(count)]
    host.jobs[job_dir].gpus = tuple(uuid for _, uuid in chosen)
    return Reply(0, b"".join(records({"gpu": " ".join(each)}) for each in chosen), b"")


def _launch(host: HostState, connection: HostConnection, job_dir: str, *words: str) -> Reply:
    job = host.jobs.get(job_dir)
    if job is None:
        return Reply(1, b"", b"sh: cannot create launcher: Directory nonexistent\n")
    if job.tasks:
        return Reply(17, b"", b"")
    if not _confirm(host, connection, job, *shlex.split(words[3])):
        return Reply(19, b"", b"")
    job.environment = connection.calls[-1].env
    job.launch(list(words[5::9]), host.scripts)
    return OK


def _confirm(
    host: HostState,
    connection: HostConnection,
    job: FakeJob,
    lock: str,
    group: str,
    engine: str,
    *gpus: str,
) -> bool:
    """Return whether the job has kept its claim, which it holds again from now on."""
    if job.client is None or not is_gone(job.client):
        return True
    holder, holders = host.locks.get(lock, ("", ""))
    if holder != job.job_dir and not (group and holders == group):
        return False
    job.client = connection
    others = [each for each in host.jobs.values() if each is not job and each.state in LIVE]
    return not any(set(gpus) & set(each.gpus) for each in others)


def _follow(host: HostState, connection: HostConnection, job_dir: str, *words: str) -> Reply:
    number, stdout, stderr, *more = words
    job = host.jobs[job_dir]
    task = job.tasks[int(number) - 1]
    if job.supervisor_died or not task.is_started:
        return OK
    if host.follow_cuts:
        connection.is_cut = True
        end = int(stdout) + host.follow_cuts.pop(0)
        return Reply(0, task.script.stdout[int(stdout) : end], b"")
    if task.script.runs_until_stopped:
        wait_until(lambda: task.exit is not None or is_gone(connection))
    elif task.exit is None:
        end_task(host, job, task.script.exit_code)
    answer = b""
    if more and host.answers_ends:
        answer = answer_end(host, job, int(number), *more)
    return Reply(0, task.stdout[int(stdout) :] + answer, task.stderr[int(stderr) :])


def answer_end(
    host: HostState, job: FakeJob, number: int, marker: str, folder: str = "", *_: str
) -> bytes:
    """Return the report of a task, and the small outputs in the first folder if it was the last."""
    ending = f"\0{marker}\0".encode()
    answer = report(job, number)
    is_last = job.tasks[number - 1].exit != 0 or number == len(job.tasks)
    if folder and is_last and host.sends_outputs:
        answer += host.sent or send_folder(
            1,
            {
                f"./{os.path.relpath(path, folder)}": content
                for path, content in host.files.items()
                if path.startswith(f"{folder}/")
            },
        )
    return ending + answer + ending


def end_task(host: HostState, job: FakeJob, exit_code: int = 0) -> None:
    """End the task that runs, with the files that it makes."""
    task = job.current
    assert task is not None
    for path, content in task.script.makes.items():
        host.files[f"{job.workspace()}/{path}"] = content
    job.finish(task, exit_code)


def _verdict(host: HostState, _: HostConnection, job_dir: str, number: str, *_order: str) -> Reply:
    return Reply(0, report(host.jobs[job_dir], int(number)), b"")


def _log(host: HostState, file: str) -> bytes:
    job_dir, _, rest = file.partition("/tasks/")
    number, _, stream = rest.partition("/")
    tasks = host.jobs[job_dir].tasks
    return bytes(getattr(tasks[int(number) - 1], stream)) if tasks else b""


def _bytes(host: HostState, _: HostConnection, file: str, offset: str) -> Reply:
    return Reply(0, _log(host, file)[int(offset) :][:_PIECE], b"")


def _tail(host: HostState, _: HostConnection, file: str, lines: str) -> Reply:
    log = _log(host, file)
    kept = b"".join(log.splitlines(keepends=True)[-int(lines) :]) if int(lines) else b""
    return Reply(0, str(len(log) - len(kept)).encode(), b"")


def _adopt(host: HostState, _: HostConnection, job_dir: str, number: str) -> Reply:
    host.jobs[job_dir].supervisor_died = False
    return OK


def _stop(host: HostState, _: HostConnection, job_dir: str, grace: str) -> Reply:
    job = host.jobs.get(job_dir)
    if job is None or job.state not in LIVE:
        return Reply(0, records({"stopped": "nothing"}), b"")
    job.is_stopped = True
    if job.current is not None:
        end_task(host, job, 143)
    return Reply(0, records({"stopped": "yes"}), b"")


def _sums(host: HostState, _: HostConnection, remote: str, *names: str) -> Reply:
    files = [host.files[posixpath.normpath(f"{remote}/{name}")] for name in names]
    sums = [hashlib.sha256(each).hexdigest() for each in files]
    return Reply(0, "".join(f"{each}\0" for each in sums).encode(), b"")


def _gpus(host: HostState, _: HostConnection) -> Reply:
    lines = "".join(f"NVIDIA A100, 40960 MiB ({uuid})\n" for uuid in host.gpus)
    return Reply(0 if lines else 127, lines.encode(), b"")


STREAMED = frozenset({"mlcr_follow_task", "mlcr_run_while_connected"})

FUNCTIONS: Mapping[str, Callable[..., Reply]] = {
    "mlcr_adopt_task": _adopt,
    "mlcr_run_while_connected": _attended,
    "mlcr_print_boot_id": lambda *_: OK,
    "mlcr_print_bytes": _bytes,
    "mlcr_describe_docker": lambda *_: Reply(0, b"init=systemd\0uid=1000\0", b""),
    "mlcr_follow_task": _follow,
    "mlcr_release_job": _give_back,
    "mlcr_list_gpus": _gpus,
    "mlcr_print_engine_info": lambda *_: OK,
    "mlcr_print_image_platform": _image,
    "mlcr_print_kind": _kind,
    "mlcr_launch_job": _launch,
    "mlcr_lease_gpus": _lease,
    "mlcr_print_line": _line,
    "mlcr_remove_partial_files": lambda *_: Reply(0, b"4096\n", b""),
    "mlcr_check_sources": lambda *_: OK,
    "mlcr_prepare_paths": lambda *_: OK,
    "mlcr_probe_host": _probe,
    "mlcr_remove_job": _remove,
    "mlcr_claim_job": _reserve,
    "mlcr_check_sif": lambda host, *_: Reply(0, b"f\n" if host.has_image else b"-\n", b""),
    "mlcr_print_job_state": _state,
    "mlcr_stop_job": _stop,
    "mlcr_print_checksums": _sums,
    "mlcr_report_jobs": lambda host, *_: Reply(0, survey(host.jobs), b""),
    "mlcr_print_tail_offset": _tail,
    "mlcr_report_outputs": lambda *_: OK,
    "mlcr_report_task": _verdict,
    "mlcr_write_file": _write,
    "mlcr_write_input": lambda host, at, _anchor, _rest, *words: _write(host, at, *words),
}
