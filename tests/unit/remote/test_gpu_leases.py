# SPDX-License-Identifier: Apache-2.0
"""GPUs are leased all or none, to one live job each, and never if others use them."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlcube_remote.remote import library
from mlcube_remote.transport.quoting import quote_words
from tests.support.shell_library import Call, claim, launch, records
from tests.support.waiting import wait_for

NVIDIA_SMI = r"""#!/bin/sh
# A fake nvidia-smi, whose answers are in files beside this script.
case "$*" in
*utilization.gpu*) cat "${0%/*}/uses" ;;
*--query-gpu=*) cat "${0%/*}/devices" ;;
*--query-compute-apps=*) cat "${0%/*}/processes" ;;
esac
"""


UUIDS = [
    # From a machine with four NVIDIA H200-141C.
    "GPU-78aaaccb-3af1-11b3-b1f8-3828c251d9f2",
    "GPU-7bdd753d-3af1-11b3-a839-80f10ebdf224",
    "GPU-7eb48ff1-3af1-11b3-9b3a-93ee06a0ff76",
    "GPU-8187d0e1-3af1-11b3-a3da-3990b94501cf",
]


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "nvidia-smi").write_text(NVIDIA_SMI)
    (folder / "nvidia-smi").chmod(0o755)
    devices = "".join(f"{number}, {uuid}\n" for number, uuid in enumerate(UUIDS))
    (folder / "devices").write_text(devices)
    (folder / "processes").write_text("")
    monkeypatch.setenv("PATH", f"{folder}:/usr/local/bin:/usr/bin:/bin")
    return folder


@pytest.fixture(autouse=True)
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory for announcements that replaces the machine's own."""
    place = tmp_path / "lock"
    place.mkdir()
    place.chmod(0o1777)
    monkeypatch.setenv("MLCR_PLACES", str(place))
    return place


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    return tmp_path / "root" / "jobs"


def lease(
    call: Call, jobs: Path, name: str, count: int, *devices: str, engine: str = ""
) -> list[int]:
    """Claim a job, lease GPUs for it, and return their numbers, or [-1, FREE, TOTAL]."""
    jobs.parent.mkdir(exist_ok=True)
    if not (jobs / name).exists():
        assert claim(call, jobs / name).returncode == 0
    done = call("mlcr_lease_gpus", str(jobs / name), str(count), engine, *devices)
    report = records(done)
    if done.returncode == 16:
        facts = dict(report)
        return [-1, int(facts["free"]), int(facts["total"])]
    assert done.returncode == 0, done.stderr
    found = [value.split() for key, value in report if key == "gpu"]
    assert all(UUIDS[int(index)] == uuid for index, uuid in found)
    return [int(index) for index, _ in found]


def test_each_job_gets_its_own_devices(call: Call, jobs: Path, smi: Path) -> None:
    assert lease(call, jobs, "a", 2) == [0, 1]
    assert lease(call, jobs, "b", 1) == [2]
    assert lease(call, jobs, "c", 2) == [-1, 1, 4], "all or none"
    assert lease(call, jobs, "d", 1) == [3], "a lease that failed keeps no device"
    assert lease(call, jobs, "a", 2) == [0, 1], "a repeated call returns the same devices"


def test_a_lease_ends_with_its_job(call: Call, jobs: Path, smi: Path) -> None:
    assert lease(call, jobs, "a", 4) == [0, 1, 2, 3]
    assert lease(call, jobs, "b", 1) == [-1, 0, 4]
    (jobs / "a" / "preparing").write_text(
        "boot 1 1 " + Path("/proc/sys/kernel/hostname").read_text()
    )
    assert lease(call, jobs, "b", 3) == [0, 1, 2]


def test_devices_with_processes_of_others_are_skipped(call: Call, jobs: Path, smi: Path) -> None:
    (smi / "processes").write_text(f"{UUIDS[0]}\n{UUIDS[2]}\n{UUIDS[2]}\n")
    assert lease(call, jobs, "a", 3) == [-1, 2, 4]
    assert lease(call, jobs, "a", 2) == [1, 3]


def test_only_the_devices_of_the_inventory_are_leased(call: Call, jobs: Path, smi: Path) -> None:
    assert lease(call, jobs, "a", 1, "3", UUIDS[1]) == [1]
    assert lease(call, jobs, "b", 2, "3", UUIDS[1]) == [-1, 1, 2]
    assert lease(call, jobs, "b", 1, "3", UUIDS[1]) == [3]


@pytest.mark.parametrize("text", ["No devices were found\n", ""])
def test_a_driver_without_devices_leases_none(call: Call, jobs: Path, smi: Path, text: str) -> None:
    (smi / "devices").write_text(text)
    assert lease(call, jobs, "a", 1) == [-1, 0, 0]


def test_without_a_driver_the_status_is_no_program(call: Call, jobs: Path, smi: Path) -> None:
    (smi / "nvidia-smi").unlink()
    jobs.parent.mkdir()
    claim(call, jobs / "a")
    assert call("mlcr_lease_gpus", str(jobs / "a"), "1", "").returncode == 127


def test_a_lease_below_another_root_is_respected(
    call: Call, jobs: Path, smi: Path, registry: Path, tmp_path: Path
) -> None:
    others = tmp_path / "other" / "jobs"
    assert lease(call, others, "theirs", 1) == [0]
    assert lease(call, jobs, "a", 4) == [-1, 3, 4]
    assert lease(call, jobs, "a", 1) == [1]
    report = {path.name.split("=")[1]: path for path in registry.iterdir()}
    assert {*report} == {UUIDS[0], UUIDS[1]}
    facts = records(call("mlcr_report_usage", str(jobs.parent)))
    user = pwd.getpwuid(os.getuid()).pw_name
    assert [value for key, value in facts if key == "process"] == [f"{UUIDS[0]} - {user}"]

    fields = report[UUIDS[0]].name.split("=")
    dead = report[UUIDS[0]].rename(registry / "=".join([*fields[:5], "1", fields[6]]))
    assert lease(call, jobs, "b", 1) == [2], "valid while the job may change its process"
    os.utime(dead, (1, 1))
    assert lease(call, jobs, "c", 1) == [0], "its process is dead"
    assert not dead.exists()


def test_an_announcement_is_valid_while_its_creators_process_lives(
    call: Call, jobs: Path, smi: Path, registry: Path
) -> None:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    started = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    me, stranger = os.getuid(), 12345
    alive, dead = f"{boot}={os.getpid()}={started}", f"{boot}={os.getpid()}=1"
    believed = [f"{UUIDS[0]}={me}={alive}=live", f"{UUIDS[1]}={me}={dead}=handing-over"]
    others = [
        f"{UUIDS[2]}={me}={dead}=dead",
        f"{UUIDS[3]}={me}=another-boot={os.getpid()}={started}=of-a-former-boot",
        f"{UUIDS[2]}={stranger}={alive}=created-by-another-user",
        f"{UUIDS[3]}=*={alive}=odd",
    ]
    for name in (*believed, *others):
        (registry / f"mlcube-remote-gpu={name}").mkdir()
    os.utime(registry / f"mlcube-remote-gpu={others[0]}", (1, 1))
    assert lease(call, jobs, "a", 4) == [-1, 2, 4]
    assert lease(call, jobs, "a", 2) == [2, 3]


def test_a_client_that_meets_another_withdraws(
    call: Call, jobs: Path, smi: Path, registry: Path
) -> None:
    """Another user announces the same device between this client's check and announcement."""
    started = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    theirs = registry / (
        f"mlcube-remote-gpu={UUIDS[0]}={os.getuid()}={boot}={os.getpid()}={started}=theirs"
    )
    (smi / "mkdir").write_text(
        "#!/bin/sh\n"
        f"case $* in *gpu={UUIDS[0]}=*) /bin/mkdir -p '{theirs}' ;; esac\n"
        'exec /bin/mkdir "$@"\n'
    )
    (smi / "mkdir").chmod(0o755)
    jobs.parent.mkdir()
    assert claim(call, jobs / "a").returncode == 0
    done = call("mlcr_lease_gpus", str(jobs / "a"), "1", "")
    assert (done.returncode, done.stdout) == (18, b""), done.stderr
    assert list(registry.iterdir()) == [theirs], "the announcement is withdrawn"
    assert not (jobs / "a/gpus").exists()
    assert not list((jobs.parent / "leases").iterdir())
    assert lease(call, jobs, "a", 1) == [1]


def test_an_announcement_whose_name_is_taken_is_an_error(
    call: Call, jobs: Path, smi: Path, registry: Path
) -> None:
    """The user who created the entry could remove it later."""
    jobs.parent.mkdir()
    assert claim(call, jobs / "a").returncode == 0
    boot, pid, start, *_ = (jobs / "a/preparing").read_text().split()
    taken = registry / f"mlcube-remote-gpu={UUIDS[0]}={os.getuid()}={boot}={pid}={start}=a"
    taken.write_text("not a lease")
    done = call("mlcr_lease_gpus", str(jobs / "a"), "1", "")
    assert done.returncode == 1
    assert taken.name.encode() in done.stderr
    assert b"File exists" in done.stderr


def test_devices_in_labels_of_any_container_are_skipped(
    call: Call, jobs: Path, smi: Path, tmp_path: Path
) -> None:
    engine = tmp_path / "an engine"
    engine.write_text(
        f"#!/bin/sh\ncase $1 in ps) echo c1 c2 ;; inspect) echo {UUIDS[0]},{UUIDS[2]} ;; esac\n"
    )
    engine.chmod(0o755)
    assert lease(call, jobs, "a", 2, engine=quote_words([str(engine)])) == [1, 3]


def test_the_supervisor_announces_the_gpus_until_the_job_ends(
    call: Call, jobs: Path, smi: Path, registry: Path, gate: Path
) -> None:
    jobs.parent.mkdir()
    assert lease(call, jobs, "a", 1) == [0]
    (before,) = registry.iterdir()
    assert launch(call, jobs / "a", f"cat {gate}").returncode == 0
    wait_for((jobs / "a" / "tasks/1/started").exists)
    pid = (jobs / "a" / "owner").read_text().split()[1]
    (after,) = registry.iterdir()
    assert before != after
    assert after.name.split("=")[4] == pid
    gate.write_text("")
    wait_for(lambda: not list(registry.iterdir()))


def test_removing_a_job_withdraws_its_announcements(
    call: Call, jobs: Path, smi: Path, registry: Path
) -> None:
    assert lease(call, jobs, "a", 2) == [0, 1]
    (jobs / "a" / "preparing").write_text(
        "boot 1 1 " + Path("/proc/sys/kernel/hostname").read_text()
    )
    assert call("mlcr_remove_job", str(jobs.parent), "a").returncode == 0
    assert not list(registry.iterdir())


def test_an_unsafe_directory_is_not_used_for_announcements(
    call: Call,
    jobs: Path,
    smi: Path,
    registry: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "link").symlink_to(registry)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o0777)
    places = [tmp_path / "link", tmp_path / "open", registry]
    monkeypatch.setenv("MLCR_PLACES", " ".join(map(str, places[:2])))
    assert lease(call, jobs, "a", 1) == [0]
    assert not list(registry.iterdir())
    monkeypatch.setenv("MLCR_PLACES", " ".join(map(str, places)))
    assert lease(call, jobs, "b", 1) == [1]
    assert not list((tmp_path / "open").iterdir())
    assert len(list(registry.iterdir())) == 1


@pytest.fixture
def many(jobs: Path, smi: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start six clients, and each leases two of four devices."""
    jobs.mkdir(parents=True)
    calls = [
        f"mlcr_claim_job {quote_words([str(jobs / name)])} '{{}}' '' '' >/dev/null\n"
        f"mlcr_lease_gpus {quote_words([str(jobs / name)])} 2 '' >/dev/null; echo $?\n"
        "cat >/dev/null\n"
        for name in "abcdef"
    ]
    clients = [
        subprocess.Popen(
            ["sh", "-c", 'sh -c "$0"; :', library() + text],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for text in calls
    ]
    yield clients
    for client in clients:
        client.communicate(timeout=30)


def test_two_of_many_simultaneous_leases_succeed(
    many: list[subprocess.Popen[bytes]], jobs: Path
) -> None:
    codes = [int(client.stdout.readline()) for client in many if client.stdout is not None]
    assert sorted(codes) == [0, 0, 16, 16, 16, 16]
    holders = [(jobs.parent / "leases" / uuid / "first").read_text().strip() for uuid in UUIDS]
    assert sorted(map(holders.count, set(holders))) == [2, 2]


def test_the_usage_of_a_host_is_reported(call: Call, jobs: Path, smi: Path) -> None:
    line = f"1, {UUIDS[1]}, NVIDIA H100 80GB HBM3, 81559, 1024, 37"
    (smi / "uses").write_text(line + "\n")
    assert lease(call, jobs, "a", 1, "1") == [1]
    (smi / "processes").write_text(f"{UUIDS[1]}, {os.getpid()}\n{UUIDS[2]}, 999999999\n")
    done = call("mlcr_report_usage", str(jobs.parent))
    assert done.returncode == 0, done.stderr
    report = records(done)
    facts = dict(report)
    assert {"load", "cpus", "memory", "available", "disk", "free"} <= facts.keys()
    assert int(facts["available"]) <= int(facts["memory"])
    assert int(facts["free"]) <= int(facts["disk"])
    assert (facts["jobs"], facts["gpu"], facts["lease"]) == ("1", line, f"{UUIDS[1]} a")
    user = pwd.getpwuid(os.getuid()).pw_name
    assert [value for key, value in report if key == "process"] == [
        f"{UUIDS[1]} {os.getpid()} {user}",
        f"{UUIDS[2]} 999999999 ",
    ]


def test_without_jobs_or_driver_the_rest_is_reported(call: Call, jobs: Path, smi: Path) -> None:
    (smi / "nvidia-smi").unlink()
    facts = dict(records(call("mlcr_report_usage", str(jobs.parent))))
    assert facts["jobs"] == "0"
    assert {"load", "memory", "free"} <= facts.keys()
    assert "gpu" not in facts
