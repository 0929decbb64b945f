# SPDX-License-Identifier: Apache-2.0
"""A pool whose hosts die under its jobs: none is lost, and none is done twice."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import yaml

from mlcube_remote.runs.ids import new_run_id
from mlcube_remote.sandbox import SandboxError
from mlcube_remote.sandbox.engine import docker
from tests.support.cubes import FILE, shell_task, write_cube
from tests.support.wire import Wire, wire_to

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost

SLEEP = shell_task(
    'sleep 0.5; cat "${0#*=}" >"${1#*=}"',
    inputs={"settings": {**FILE, "default": "settings.yaml"}},
    outputs={"made": {**FILE, "default": "made.txt"}},
)


@attrs.frozen(kw_only=True)
class Pool:
    """Four hosts with two slots each, one of them behind a wire."""

    hosts: Sequence[SshHost]
    victim: SshHost
    wire: Wire
    cube: Path
    inventory: Path
    run_id: str = attrs.field(factory=new_run_id)

    def argv(self, jobs: int, *arguments: str) -> list[str]:
        values = ",".join(map(str, range(1, jobs + 1)))
        return [
            *(sys.executable, "-m", "mlcube_remote", "run", f"--inventory={self.inventory}"),
            *("--host=pool", f"--mlcube={self.cube}", f"--sweep=number={values}"),
            *(f"--run-id={self.run_id}", "--output=json", *arguments),
        ]

    def made(self) -> dict[str, str]:
        """Return job → what was pulled of it."""
        folder = self.cube / "results" / self.run_id
        return {path.parent.name: path.read_text() for path in folder.glob("*/made.txt")}

    def done(self) -> Counter[str]:
        """Return job → how often it was done, on whichever host."""
        every = (
            path.parents[2].name.removeprefix(f"{self.run_id}-")
            for host in self.hosts
            for path in host.home.glob(f".mlcube-remote/jobs/{self.run_id}-*/tasks/1/exit.0")
        )
        return Counter(job[:2] for job in every)

    def at_work(self) -> list[str]:
        """Return the victim's containers."""
        return self.victim.tasks()

    def freeze(self, container: str) -> bool:
        """Stop what runs on the engine, which is not the host's alone, before anybody sees it."""
        with contextlib.suppress(SandboxError):
            docker("pause", container)
            return True
        return False

    def kill(self) -> None:
        """Cut the victim off power while it runs jobs."""
        deadline = time.monotonic() + 180
        while not sum(map(self.freeze, self.at_work())):
            assert time.monotonic() < deadline
        self.wire.cut()
        self.victim.container.get_wrapped_container().kill()
        if left := self.at_work():
            docker("rm", "--force", *left)
        (self.victim.home / ".mlcube-remote-boot-id").write_text("the-next-boot\n")

    def start(self) -> None:
        """Give the victim its power back."""
        self.victim.container.get_wrapped_container().start()
        self.wire.target = self.victim.container.get_exposed_port(22)
        self.wire.restore()

    @contextlib.contextmanager
    def started(self, jobs: int, *arguments: str, done: int) -> Iterator[subprocess.Popen[bytes]]:
        """Give a client that has come through some of its jobs."""
        argv = self.argv(jobs, *arguments)
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
            try:
                deadline = time.monotonic() + 120
                while len(self.made()) < done:
                    assert client.poll() is None
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
                yield client
            finally:
                client.kill()

    def require_all(self, jobs: int, document: dict[str, Any]) -> None:
        """Every job is there, and was done once."""
        assert {job["status"] for job in document["jobs"]} == {"succeeded"}
        numbers = [f"number: {number}\n" for number in range(1, jobs + 1)]
        assert self.made() == {f"{n:02}": text for n, text in enumerate(numbers, 1)}
        assert self.done() == Counter(self.made().keys())


@pytest.fixture
def pool(ssh_host: HostFactory, tmp_path: Path) -> Iterator[Pool]:
    victim = ssh_host(private=True)
    hosts = (ssh_host("docker"), victim, ssh_host("dash"), ssh_host("fish"))
    listed: dict[str, Any] = {}
    for host in hosts:
        listed |= yaml.safe_load(host.inventory.read_text())["hosts"]
    cube = write_cube(tmp_path / "cube", {"sleep": SLEEP})
    (cube / "workspace/settings.yaml").write_text("number: 0\n")
    inventory = tmp_path / "pool.yaml"
    with wire_to(victim.port) as wire:
        known = tmp_path / "known_hosts"
        line = victim.place.known_hosts.read_text()
        known.write_text(line.replace(f":{victim.port}", f":{wire.port}"))
        listed[victim.name] |= {"port": wire.port, "known_hosts": str(known)}
        described = {"defaults": {"slots": 2}, "hosts": listed, "groups": {"pool": [*listed]}}
        inventory.write_text(yaml.safe_dump(described))
        yield Pool(hosts=hosts, victim=victim, wire=wire, cube=cube, inventory=inventory)


def test_no_job_of_forty_is_lost_or_runs_twice_if_a_host_dies(pool: Pool) -> None:
    with pool.started(40, done=20) as client:
        pool.kill()
        time.sleep(3)
        pool.start()
        out, err = client.communicate(timeout=120)
    said = err.decode()
    assert client.returncode == 0, said
    document = json.loads(out)
    pool.require_all(40, document)
    moved = [job["job"] for job in document["jobs"] if job["attempt"] > 1]
    assert 0 < len(moved) <= 2, "only jobs that ran when the power failed"
    assert all(f"{job}@{pool.victim.name}: " in said for job in moved)


def test_what_a_dead_host_had_started_waits_for_the_host(pool: Pool) -> None:
    with pool.started(16, "--reconnect-timeout=2s", done=1) as client:
        pool.kill()
        out, err = client.communicate(timeout=120)
    assert client.returncode == 123, err.decode()
    jobs = json.loads(out)["jobs"]
    unknown = [job for job in jobs if job["status"] == "unknown"]
    assert 0 < len(unknown) <= 2
    assert {job["host"] for job in unknown} == {pool.victim.name}
    assert {job["status"] for job in jobs} == {"unknown", "succeeded"}, "others did the rest"
    pool.start()
    again = subprocess.run(pool.argv(16), capture_output=True, check=False, timeout=120)
    assert again.returncode == 0, again.stderr.decode()
    pool.require_all(16, json.loads(again.stdout))


def test_what_a_host_had_started_that_never_comes_back_is_done_elsewhere(pool: Pool) -> None:
    gone = f"--gone={pool.victim.name}"
    with pool.started(16, "--reconnect-timeout=2s", done=1) as client:
        pool.kill()
        out, err = client.communicate(timeout=120)
    assert client.returncode == 123, err.decode()
    lost = {job["job"] for job in json.loads(out)["jobs"] if job["status"] == "unknown"}
    rerun = f"mlcube-remote rerun {pool.run_id} --failed"
    assert f"  if the host is gone for good:  {rerun} {gone}" in err.decode().splitlines()
    argv = [sys.executable, "-m", *rerun.replace("-", "_", 1).split(), "--output=json"]
    left = subprocess.run(argv, capture_output=True, check=False, timeout=120)
    assert left.returncode == 123, "--gone was not given yet"
    again = subprocess.run([*argv, gone], capture_output=True, check=False, timeout=120)
    assert again.returncode == 0, again.stderr.decode()
    jobs = {job["job"]: job for job in json.loads(again.stdout)["jobs"]}
    assert jobs.keys() == lost
    assert {job["attempt"] for job in jobs.values()} == {2}
    assert pool.victim.name not in {job["host"] for job in jobs.values()}
    index = json.loads((pool.cube / "results" / pool.run_id / "results.json").read_text())
    pool.require_all(16, index)
