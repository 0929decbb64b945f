# SPDX-License-Identifier: Apache-2.0
"""Jobs on a Slurm cluster: they wait, run on compute nodes, and end in every way."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.support.command_line import again, command, on
from tests.support.cubes import QUICKLY, shell_task, write_sif_cube
from tests.support.terminal import ClientOnTerminal
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost

OUT = {"out": {"type": "file", "default": "out"}}
TASKS = {
    "say": shell_task(
        'echo "on $(cat /proc/sys/kernel/hostname)"; echo "$TOKEN" >"${0#*=}"', outputs=OUT
    ),
    "wait": shell_task(
        'trap "echo told to stop; exit 3" TERM; echo waiting; echo made >"${0#*=}"; '
        "i=0; while [ $i -lt 600 ]; do sleep 0.1; i=$((i + 1)); done",
        outputs=OUT,
    ),
    "gated": shell_task(
        'echo begin; until [ -e "${0#*=}.go" ]; do sleep 0.1; done; '
        'echo end >"${0#*=}"; echo ended',
        outputs=OUT,
    ),
}
TASKS["trial"] = shell_task(
    'grep -q "n: 2" "${0#*=}" && exit 3; cat "${0#*=}" >"${1#*=}"',
    inputs={"how": {"type": "file", "default": "how.yaml"}},
    outputs=OUT,
)
TASKS["hold_first"] = shell_task(
    'cat "${0#*=}" >"${1#*=}"; '
    'grep -q "n: 1$" "${0#*=}" && ! grep -q go "${0#*=}" && exec sleep 600; true',
    inputs={"how": {"type": "file", "default": "how.yaml"}},
    outputs=OUT,
)
TASKS["go_on"] = shell_task(
    'trap "echo saved; exit 0" TERM; echo "begin $(cat "${0#*=}" 2>/dev/null)"; '
    'grep -q saved "${0#*=}" && exit 0; echo saved >"${0#*=}"; '
    "i=0; while [ $i -lt 600 ]; do sleep 0.1; i=$((i + 1)); done",
    outputs={"state": {"type": "file", "default": "state"}},
)


@pytest.fixture(scope="module")
def host(ssh_host: HostFactory) -> SshHost:
    return ssh_host("slurm")


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cube that all tests share, so that its image is built once."""
    folder = tmp_path_factory.mktemp("slurm-cube") / "cube"
    cube = write_sif_cube(folder, TASKS)
    (cube / "workspace/how.yaml").write_text("n: 0\n")
    return cube


@pytest.fixture
def full(host: SshHost) -> Iterator[None]:
    """Fill all nodes of the cluster with a job of another user, during the test."""
    submit = "sbatch --parsable --nodes=2 --exclusive --output=/dev/null --wrap='sleep 600'"
    done = host.exec(["sh", "-c", submit])
    assert done.exit_code == 0, done.output
    number = done.output.decode().split()[-1]
    wait_for(lambda: b"RUNNING" in host.exec(["squeue", "-h", "-j", number, "-o", "%T"]).output)
    yield
    host.exec(["scancel", number])


def start(host: SshHost, cube: Path, task: str, *options: str) -> str:
    """Start a task in the background and return the id of its run."""
    done = on(host, cube, f"--task={task}", QUICKLY, "--detach", "--output=json", *options)
    assert done.returncode == 0, done.stderr.decode()
    return str(json.loads(done.stdout)["run"])


def listed(host: SshHost, run: str) -> str:
    """Return the state of a run's job in ``ps``."""
    done = again("ps", f"--inventory={host.inventory}", "--all", "--output=json")
    jobs = json.loads(done.stdout)["hosts"][0]["jobs"]
    return str(next(job["state"] for job in jobs if job["run"] == run))


def is_running(host: SshHost, run: str) -> bool:
    (log,) = host.home.glob(f".mlcube-remote/jobs/{run}-*/tasks/1/stdout")
    return log.stat().st_size > 0


def queue(host: SshHost) -> str:
    return host.exec(["squeue", "-h", "-o", "%j %T"]).output.decode()


def test_a_task_runs_on_a_compute_node_and_its_secrets_are_in_no_file(
    host: SshHost, cube: Path
) -> None:
    secret = "s3cr'et of\nthe user"
    done = on(
        host, cube, "--task=say", QUICKLY, "--slurm=image_build=job", "--env=TOKEN", TOKEN=secret
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().strip() in {"on node1", "on node2"}
    assert (cube / "workspace/out").read_text() == f"{secret}\n"
    places = f"{host.home}/.mlcube-remote/jobs /var/spool/slurmctld /var/log"
    found = host.exec(["sh", "-c", f'grep -rl "s3cr\'et of" {places}; echo searched'])
    assert found.output == b"searched\n"


def test_a_refused_job_is_reported_with_the_words_of_slurm(host: SshHost, cube: Path) -> None:
    done = on(host, cube, "--task=say", QUICKLY, "--slurm=partition=nowhere")
    assert done.returncode == 122
    assert b"Slurm refused the job: invalid partition specified: nowhere" in done.stderr
    assert "mlcr-" not in queue(host)


@pytest.mark.parametrize(
    ("place", "code", "row"),
    [("$DISK", 0, "$DISK is /var/tmp on node"), ("$DISC", 122, "$DISC is not set on node")],
)
def test_a_check_tries_a_compute_node(
    host: SshHost, tmp_path: Path, place: str, code: int, row: str
) -> None:
    described = yaml.safe_load(host.inventory.read_text())
    slurm = {"scratch": place, "setup": "export DISK=/var/tmp"}
    described["hosts"][host.name] |= {"slurm": slurm}
    inventory = tmp_path / "hosts.yaml"
    inventory.write_text(yaml.safe_dump(described))
    done = again("hosts", "check", f"--inventory={inventory}", host.name, "--job")
    shown = done.stdout.decode()
    assert done.returncode == code, shown
    assert "compute node  node" in shown
    assert ".mlcube-remote is the same on node" in shown
    assert row in shown


def test_a_job_outlives_its_client_and_the_controller(host: SshHost, cube: Path) -> None:
    run = start(host, cube, "gated")
    wait_for(lambda: is_running(host, run))
    assert listed(host, run) == "running"
    host.exec(["sh", "-c", "scontrol shutdown slurmctld; sleep 1; slurmctld"])
    for workspace in host.home.glob(".mlcube-remote/cubes/*/workspace"):
        (workspace / "out.go").touch()
    done = again("attach", run)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == b"begin\nended\n"
    assert (cube / "workspace/out").read_text() == "end\n"


@pytest.mark.usefixtures("full")
def test_a_queued_job_says_why_it_waits_and_can_be_stopped(host: SshHost, cube: Path) -> None:
    run = start(host, cube, "say")
    wait_for(lambda: "mlcr-" in queue(host))
    assert listed(host, run).startswith("queued (")
    status = again("status", run)
    assert b"queued" in status.stderr, status.stderr
    stopped = again("stop", run)
    assert stopped.returncode == 0, stopped.stderr.decode()
    assert "mlcr-" not in queue(host)
    assert listed(host, run) == "cancelled"
    done = again("attach", run)
    assert done.returncode == 130, done.stderr.decode()


@pytest.mark.usefixtures("full")
def test_a_waiting_client_says_why_and_an_interrupt_takes_the_job_out_of_the_queue(
    host: SshHost, cube: Path
) -> None:
    words = command(host.inventory, cube, f"--host={host.name}", "--task=say", QUICKLY)
    client = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    assert client.stderr is not None
    wait_for(lambda: "mlcr-" in queue(host), seconds=60)
    for line in client.stderr:
        if b"queued by Slurm" in line:
            break
    client.send_signal(2)
    _, errors = client.communicate(timeout=60)
    assert client.returncode == 130, errors.decode()
    assert "mlcr-" not in queue(host)


def test_trials_share_batch_jobs_and_each_has_its_own_end(host: SshHost, cube: Path) -> None:
    options = ("--slurm=trials_per_job=3", "--sweep=how.n=1,2,3,4,5", "--output=json")
    slots = host.inventory.with_name("slots.yaml")
    slots.write_text(host.inventory.read_text().replace("launcher:", "slots: 2\n    launcher:"))
    done = again(
        *("run", f"--inventory={slots}", f"--mlcube={cube}", f"--host={host.name}"),
        *("--task=trial", QUICKLY, *options),
    )
    assert done.returncode == 1, done.stderr.decode()
    run = json.loads(done.stdout)
    ends = {job["job"]: job["tasks"][0]["exit_code"] for job in run["jobs"]}
    assert list(ends.values()) == [0, 3, 0, 0, 0], "the second one fails, and the third one runs"
    folders = sorted((host.home / ".mlcube-remote/jobs").glob(f"{run['run']}-*"))
    batch_jobs = [(folder / "slurm/claimed").read_text() for folder in folders]
    assert len(set(batch_jobs[:3])) == len(set(batch_jobs[3:])) == 1
    assert len(set(batch_jobs)) == 2
    assert not any((folder / "slurm/environment").exists() for folder in folders)


def test_forty_trials_are_each_run_once_although_a_batch_job_is_cancelled(
    host: SshHost, cube: Path
) -> None:
    slots = host.inventory.with_name("slots.yaml")
    slots.write_text(host.inventory.read_text().replace("launcher:", "slots: 40\n    launcher:"))
    numbers = [str(number) for number in range(1, 41)]
    sweep = f"--sweep=how.n={','.join(numbers)}"
    began = again(
        *("run", f"--inventory={slots}", f"--mlcube={cube}", f"--host={host.name}"),
        *("--task=hold_first", QUICKLY, "--slurm=trials_per_job=8", sweep),
        *("--detach", "--output=json"),
    )
    assert began.returncode == 0, began.stderr.decode()
    run = str(json.loads(began.stdout)["run"])
    jobs = host.home / ".mlcube-remote/jobs"
    wait_for(lambda: list(jobs.glob(f"{run}-01-*/tasks/1/started")), seconds=60)
    (leader,) = jobs.glob(f"{run}-01-*/slurm/id")
    host.exec(["scancel", leader.read_text().split()[0]])
    waited = json.loads(again("wait", run, "--output=json").stdout)
    ends = {job["job"]: job["status"] for job in waited["jobs"]}
    assert list(ends.values()) == ["cancelled"] * 8 + ["succeeded"] * 32
    assert again("pull", run, "--quiet").returncode in {0, 130}
    with (cube / "workspace/how.yaml").open("a") as how:
        how.write("go: yes\n")
    try:
        done = again("rerun", run, "--failed", "--quiet")
    finally:
        (cube / "workspace/how.yaml").write_text("n: 0\n")
    assert done.returncode == 0, done.stderr.decode()
    made = (cube / "results" / run).glob("*/out")
    shown = [path.read_text().partition("\n")[0] for path in made]
    assert sorted(shown) == sorted(f"n: {number}" for number in numbers)
    assert len(list(jobs.glob(f"{run}-*/tasks/1/exit.0"))) == 40


def test_a_running_job_is_stopped_and_its_outputs_are_pulled(host: SshHost, cube: Path) -> None:
    run = start(host, cube, "wait")
    wait_for(lambda: is_running(host, run))
    beside = again("exec", run, "--", "cat", "/proc/sys/kernel/hostname")
    assert beside.stdout in {b"node1\n", b"node2\n"}, beside.stderr.decode()
    assert again("stop", run).returncode == 0
    assert listed(host, run) == "cancelled"
    wait_for(lambda: "mlcr-" not in queue(host))
    done = again("attach", run)
    assert done.returncode == 130, done.stderr.decode()
    assert b"told to stop" in done.stdout


def test_a_shell_on_a_compute_node_has_the_terminal(
    host: SshHost, cube: Path, request: pytest.FixtureRequest
) -> None:
    run = start(host, cube, "wait")
    wait_for(lambda: is_running(host, run))
    client = ClientOnTerminal([sys.executable, "-m", "mlcube_remote", "shell", run], size=(33, 101))
    request.addfinalizer(client.kill)
    # The echo of the command itself must not match.
    client.type("until stty size | grep '33 1''01'; do sleep 0.2; done\r")
    client.wait_for("33 101")
    client.resize(44, 122)
    client.type("until stty size | grep '44 1''22'; do sleep 0.2; done\r")
    client.wait_for("44 122")
    client.type("cat /proc/sys/kernel/host''name; exit 5\r")
    client.wait_for("node")
    assert client.end() == 5
    assert listed(host, run) == "running", "the task continues"
    assert again("stop", run).returncode == 0


def test_a_job_that_others_cancel_leaves_a_record(host: SshHost, cube: Path) -> None:
    run = start(host, cube, "wait")
    wait_for(lambda: is_running(host, run))
    host.exec(["scancel", "--user=mlcube"])
    done = again("attach", run)
    assert done.returncode == 130, done.stderr.decode()
    assert b"its Slurm job was cancelled" in done.stdout + done.stderr
    assert b"told to stop" in done.stdout


def test_the_time_limit_of_a_task_is_exact(host: SshHost, cube: Path) -> None:
    done = on(host, cube, "--task=wait", QUICKLY, "--timeout=2s")
    assert done.returncode == 124, done.stderr.decode()
    assert b"reached its time limit of 2 s" in done.stdout + done.stderr


def test_the_time_limit_of_slurm_ends_a_task_with_a_record(host: SshHost, cube: Path) -> None:
    done = on(host, cube, "--task=wait", QUICKLY, "--slurm=time=1")
    assert done.returncode == 124, done.stderr.decode()
    assert b"reached the time limit of its Slurm job" in done.stdout + done.stderr
    assert (cube / "workspace/out").read_text() == "made\n"


def test_a_requeued_job_continues_even_if_somebody_hurries_its_start(
    host: SshHost, cube: Path
) -> None:
    run = start(host, cube, "go_on", "--slurm=requeue=true")
    wait_for(lambda: is_running(host, run))
    number = host.exec(["squeue", "-h", "-o", "%i"]).output.decode().strip()
    assert host.exec(["scontrol", "requeue", number]).exit_code == 0
    # Slurm would wait two minutes. A node refuses a start in the second in which it has ended the
    # job before.
    restart = (
        f'until [ "$(squeue -h -j {number} -o %T)" = PENDING ]; do :; done; '
        f"scontrol update JobId={number} StartTime=now"
    )
    assert host.exec(["timeout", "60", "sh", "-c", restart]).exit_code == 0
    done = again("attach", run)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == b"begin \nsaved\nbegin saved\n"
    assert b"Slurm started the task again on node" in done.stderr


def test_a_job_on_a_node_that_fails_is_lost(host: SshHost, cube: Path) -> None:
    run = start(host, cube, "wait", "--slurm=extra=--nodelist=node1")
    wait_for(lambda: is_running(host, run))
    host.exec(["pkill", "-KILL", "-f", "^/bin/sh /usr/local/sbin/sandbox-node node1"])
    try:
        done = again("attach", run)
        assert done.returncode != 0
        assert b"its compute node failed" in done.stdout + done.stderr, done.stderr.decode()
        assert listed(host, run) == "lost (Slurm: NODE_FAIL)"
    finally:
        host.container.get_wrapped_container().exec_run(["sandbox-node", "node1"], detach=True)
