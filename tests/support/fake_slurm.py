# SPDX-License-Identifier: Apache-2.0
"""Programs of Slurm that keep their queue in a file, for tests of the shell library.

A line of the queue is ``ID|STATE|NAME|TIME LEFT|REASON``. Files that exist change what the programs
do: ``down`` (nothing answers), ``refuses`` (sbatch refuses), ``loses`` (sbatch takes the job, and
its answer is lost), ``waits`` (jobs stay in the queue), ``slow`` (squeue answers when the file is
deleted).
"""

from __future__ import annotations

import os
from pathlib import Path

import attrs
import pytest

from mlcube_remote.remote import slurm_scheduler
from mlcube_remote.transport.quoting import quote_words
from tests.support.shell_library import Call, Completed, claim, launch

_DOWN = """
echo "$*" >>"$here/calls.${0##*/}"
[ ! -e "$here/down" ] || {
    echo "${0##*/}: error: Unable to contact slurm controller (connect failure)" >&2
    exit 1
}
"""

_SBATCH = r"""
[ ! -e "$here/refuses" ] || {
    echo "sbatch: error: Batch job submission failed: Invalid account" >&2
    exit 1
}
for word; do
    case $word in
    --job-name=*) name=${word#--job-name=} ;;
    --output=*) log=${word#--output=} ;;
    -*) ;;
    *) break ;;
    esac
    shift
done
env >"$here/environment"
read -r id <"$here/next" || id=1
echo $((id + 1)) >"$here/next"
state=RUNNING
[ ! -e "$here/waits" ] || state=PENDING
printf '%s\n' "$id|$state|$name|1:00:00|Resources" >>"$here/queue"
if [ $state = RUNNING ]; then
    SLURM_JOB_ID=$id setsid sh "$@" </dev/null >>"$log" 2>&1 &
    echo $! >"$here/pid.$id"
fi
[ ! -e "$here/loses" ] || {
    rm "$here/loses"
    echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2
    exit 1
}
echo "$id"
"""

_SQUEUE = r"""
name= only= format=
while [ $# -gt 0 ]; do
    case $1 in
    -o) format=$2 && shift ;;
    -j) only=$2 && shift ;;
    -t | -u) shift ;;
    --name=*) name=${1#--name=} ;;
    esac
    shift
done
while [ -e "$here/slow" ]; do sleep 0.1; done
[ -e "$here/queue" ] || exit 0
while IFS='|' read -r id state job left reason; do
    [ -z "$name" ] || [ "$name" = "$job" ] || continue
    [ -z "$only" ] || [ "$only" = "$id" ] || continue
    case $format in
    '%i') case $state in PENDING | RUNNING) echo "$id" ;; esac ;;
    '%i %T %r') echo "$id $state $reason" ;;
    '%T %L %r') echo "$state $left $reason" ;;
    esac
done <"$here/queue"
"""

_SCANCEL = r"""
for id; do :; done
pid=
[ ! -e "$here/pid.$id" ] || read -r pid <"$here/pid.$id"
case $* in
*--state=PENDING*) sed -i "s/^$id|PENDING/$id|CANCELLED/" "$here/queue" ;;
*--signal=USR1*) kill -USR1 "$pid" ;;
*--batch*) kill -TERM "$pid" ;;
*)
    sed -i "s/^$id|[A-Z]*/$id|CANCELLED/" "$here/queue"
    [ -z "$pid" ] || kill -TERM -- "-$pid"
    ;;
esac
"""


@attrs.frozen
class FakeSlurm:
    """A controller with its programs."""

    folder: Path

    def set(self, mark: str, *, to: bool = True) -> None:
        """Create or delete a file that changes what the programs do."""
        if to:
            (self.folder / mark).touch()
        else:
            (self.folder / mark).unlink()

    def queue(self, *lines: str) -> None:
        """Replace the queue."""
        (self.folder / "queue").write_text("".join(f"{line}\n" for line in lines))

    def calls(self, program: str) -> list[str]:
        """Return the arguments of each call of a program."""
        file = self.folder / f"calls.{program}"
        return file.read_text().splitlines() if file.exists() else []


def install(folder: Path) -> FakeSlurm:
    """Write the programs into a folder, which is for the front of PATH."""
    folder.mkdir()
    (folder / "next").write_text("7\n")
    for name, text in (("sbatch", _SBATCH), ("squeue", _SQUEUE), ("scancel", _SCANCEL)):
        program = folder / name
        program.write_text(f"#!/bin/sh\nhere={folder}\n{_DOWN}{text}")
        program.chmod(0o755)
    accounting = folder / "sacct"
    accounting.write_text("#!/bin/sh\necho 'Slurm accounting storage is disabled' >&2\nexit 1\n")
    accounting.chmod(0o755)
    return FakeSlurm(folder)


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    folder = tmp_path / "slurm"
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return install(folder)


def options_of(job: Path) -> str:
    """Return the options of sbatch for a job."""
    return quote_words([f"--job-name=mlcr-{job.name}", f"--output={job}/supervise.log"])


def start(
    call: Call,
    job: Path,
    *scripts: str,
    setup: str = "",
    variables: str = "",
    together: bool = False,
    requeue: bool = False,
    scratch: str = "",
) -> Completed:
    """Claim a job, hand it to Slurm and launch it; with ``together``, it waits for others.

    ``scratch`` has the arguments of ``mlcr_write_scratch``, quoted.
    """
    claim(call, job)
    names = variables.split()
    options = "" if together else options_of(job) + " --requeue" * requeue
    done = call("mlcr_schedule_job", str(job), slurm_scheduler(), options, setup, scratch, *names)
    assert done.returncode == 0, done.stderr
    return launch(call, job, *scripts)
