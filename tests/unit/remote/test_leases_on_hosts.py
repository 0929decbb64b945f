# SPDX-License-Identifier: Apache-2.0
"""GPUs are leased whole or not at all, to one live job each, and never where others compute."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlcube_remote.remote import library
from mlcube_remote.transport.quoting import quote_words
from tests.unit.remote.conftest import Call, launch, records, reserve, wait_for

NVIDIA_SMI = r"""#!/bin/sh
# NVIDIA's program, whose answers are in files beside this script.
case "$*" in
*utilization.gpu*) cat "${0%/*}/uses" ;;
*--query-gpu=*) cat "${0%/*}/devices" ;;
*--query-compute-apps=*) cat "${0%/*}/processes" ;;
esac
"""
UUIDS = [f"GPU-{number}bd5c0ea-ed34-7c4e-8a95-1b7e4f1d8c2{number}" for number in range(4)]


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
def common(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a place that the users of this machine share, which is not the machine's own."""
    place = tmp_path / "lock"
    place.mkdir()
    place.chmod(0o1777)
    monkeypatch.setenv("MLCR_PLACES", str(place))
    return place / "mlcube-remote-gpus"


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    return tmp_path / "root" / "jobs"


def lease(
    call: Call, jobs: Path, name: str, count: int, *devices: str, engine: str = ""
) -> list[int]:
    """Claim a job, lease GPUs for it, and return their numbers; with -1 in front: too few."""
    jobs.parent.mkdir(exist_ok=True)
    if not (jobs / name).exists():
        assert reserve(call, jobs / name).returncode == 0
    done = call("mlcr_lease", str(jobs / name), str(count), engine, *devices)
    told = records(done)
    if done.returncode == 16:
        facts = dict(told)
        return [-1, int(facts["free"]), int(facts["total"])]
    assert done.returncode == 0, done.stderr
    found = [value.split() for key, value in told if key == "gpu"]
    assert all(UUIDS[int(index)] == uuid for index, uuid in found)
    return [int(index) for index, _ in found]


def test_each_job_gets_devices_of_its_own(call: Call, jobs: Path, smi: Path) -> None:
    assert lease(call, jobs, "a", 2) == [0, 1]
    assert lease(call, jobs, "b", 1) == [2]
    assert lease(call, jobs, "c", 2) == [-1, 1, 4], "all or none"
    assert lease(call, jobs, "d", 1) == [3], "what could not be had in full was not kept"
    assert lease(call, jobs, "a", 2) == [0, 1], "asked again, the same"


def test_a_lease_ends_with_its_job(call: Call, jobs: Path, smi: Path) -> None:
    assert lease(call, jobs, "a", 4) == [0, 1, 2, 3]
    assert lease(call, jobs, "b", 1) == [-1, 0, 4]
    (jobs / "a" / "preparing").write_text(
        "boot 1 1 " + Path("/proc/sys/kernel/hostname").read_text()
    )
    assert lease(call, jobs, "b", 3) == [0, 1, 2]


def test_devices_that_others_compute_on_are_passed_over(call: Call, jobs: Path, smi: Path) -> None:
    (smi / "processes").write_text(f"{UUIDS[0]}\n{UUIDS[2]}\n{UUIDS[2]}\n")
    assert lease(call, jobs, "a", 3) == [-1, 2, 4]
    assert lease(call, jobs, "a", 2) == [1, 3]


def test_only_the_devices_of_the_inventory_are_leased(call: Call, jobs: Path, smi: Path) -> None:
    assert lease(call, jobs, "a", 1, "3", UUIDS[1]) == [1]
    assert lease(call, jobs, "b", 2, "3", UUIDS[1]) == [-1, 1, 2]
    assert lease(call, jobs, "b", 1, "3", UUIDS[1]) == [3]


@pytest.mark.parametrize("said", ["No devices were found\n", ""])
def test_a_driver_without_devices_has_none(call: Call, jobs: Path, smi: Path, said: str) -> None:
    (smi / "devices").write_text(said)
    assert lease(call, jobs, "a", 1) == [-1, 0, 0]


def test_without_a_driver_nobody_knows(call: Call, jobs: Path, smi: Path) -> None:
    (smi / "nvidia-smi").unlink()
    jobs.parent.mkdir()
    reserve(call, jobs / "a")
    assert call("mlcr_lease", str(jobs / "a"), "1", "").returncode == 127


def test_another_root_is_told_and_believed(
    call: Call, jobs: Path, smi: Path, common: Path, tmp_path: Path
) -> None:
    others = tmp_path / "other" / "jobs"
    assert lease(call, others, "theirs", 1) == [0]
    assert common.stat().st_mode & 0o7777 == 0o1777
    assert lease(call, jobs, "a", 4) == [-1, 3, 4]
    assert lease(call, jobs, "a", 1) == [1]
    told = {path.name.split("=")[0]: path for path in common.iterdir()}
    assert {*told} == {UUIDS[0], UUIDS[1]}
    facts = records(call("mlcr_top", str(jobs.parent)))
    user = pwd.getpwuid(os.getuid()).pw_name
    assert [value for key, value in facts if key == "process"] == [f"{UUIDS[0]} - {user}"]

    fields = told[UUIDS[0]].name.split("=")
    dead = told[UUIDS[0]].rename(common / "=".join([*fields[:4], "1", fields[5]]))
    assert lease(call, jobs, "b", 1) == [2], "believed while it may change hands"
    os.utime(dead, (1, 1))
    assert lease(call, jobs, "c", 1) == [0], "nobody is left of it"
    assert not dead.exists()


def test_what_others_tell_counts_while_their_process_lives(
    call: Call, jobs: Path, smi: Path, common: Path
) -> None:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    started = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    common.mkdir(mode=0o1777)
    common.chmod(0o1777)
    stranger = 12345
    entries = [
        common / f"{UUIDS[0]}={stranger}={boot}={os.getpid()}={started}=of-a-live-one",
        common / f"{UUIDS[1]}={stranger}={boot}={os.getpid()}=1=of-a-dead-one",
        common / f"{UUIDS[2]}={stranger}=another-boot={os.getpid()}={started}=of-a-former-boot",
        common / f"{UUIDS[3]}={stranger}={boot}={os.getpid()}=1=of-one-that-hands-over",
    ]
    for entry in entries:
        entry.mkdir()
    for entry in entries[:3]:
        os.utime(entry, (1, 1))
    assert lease(call, jobs, "a", 2) == [1, 2]
    assert all(entry.exists() for entry in entries), "what is another's stays"


def test_labels_of_whoevers_containers_count(
    call: Call, jobs: Path, smi: Path, tmp_path: Path
) -> None:
    engine = tmp_path / "an engine"
    engine.write_text(
        f"#!/bin/sh\ncase $1 in ps) echo c1 c2 ;; inspect) echo {UUIDS[0]},{UUIDS[2]} ;; esac\n"
    )
    engine.chmod(0o755)
    assert lease(call, jobs, "a", 2, engine=quote_words([str(engine)])) == [1, 3]


def test_the_supervisor_tells_until_the_job_is_over(
    call: Call, jobs: Path, smi: Path, common: Path, gate: Path
) -> None:
    jobs.parent.mkdir()
    assert lease(call, jobs, "a", 1) == [0]
    (before,) = common.iterdir()
    assert launch(call, jobs / "a", f"cat {gate}").returncode == 0
    wait_for((jobs / "a" / "tasks/1/started").exists)
    pid = (jobs / "a" / "owner").read_text().split()[1]
    (after,) = common.iterdir()
    assert before != after
    assert after.name.split("=")[3] == pid
    gate.write_text("")
    wait_for(lambda: not list(common.iterdir()))


def test_a_job_that_is_removed_tells_nothing(
    call: Call, jobs: Path, smi: Path, common: Path
) -> None:
    assert lease(call, jobs, "a", 2) == [0, 1]
    (jobs / "a" / "preparing").write_text(
        "boot 1 1 " + Path("/proc/sys/kernel/hostname").read_text()
    )
    assert call("mlcr_remove", str(jobs.parent), "a").returncode == 0
    assert not list(common.iterdir())


def test_a_place_that_somebody_could_change_is_not_used(
    call: Call, jobs: Path, smi: Path, common: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    common.symlink_to(tmp_path / "elsewhere")
    assert lease(call, jobs, "a", 1) == [0]
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.fixture
def many(jobs: Path, smi: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Give six clients at once, each of which wants two of four devices."""
    jobs.mkdir(parents=True)
    calls = [
        f"mlcr_reserve {quote_words([str(jobs / name)])} '{{}}' '' '' >/dev/null\n"
        f"mlcr_lease {quote_words([str(jobs / name)])} 2 '' >/dev/null; echo $?; cat >/dev/null\n"
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


def test_of_many_at_once_two_get_two_devices_each(
    many: list[subprocess.Popen[bytes]], jobs: Path
) -> None:
    codes = [int(client.stdout.readline()) for client in many if client.stdout is not None]
    assert sorted(codes) == [0, 0, 16, 16, 16, 16]
    holders = [(jobs.parent / "leases" / uuid / "first").read_text().strip() for uuid in UUIDS]
    assert sorted(map(holders.count, set(holders))) == [2, 2]


def test_a_host_tells_how_busy_it_is(call: Call, jobs: Path, smi: Path) -> None:
    line = f"1, {UUIDS[1]}, NVIDIA H100 80GB HBM3, 81559, 1024, 37"
    (smi / "uses").write_text(line + "\n")
    assert lease(call, jobs, "a", 1, "1") == [1]
    (smi / "processes").write_text(f"{UUIDS[1]}, {os.getpid()}\n{UUIDS[2]}, 999999999\n")
    done = call("mlcr_top", str(jobs.parent))
    assert done.returncode == 0, done.stderr
    told = records(done)
    facts = dict(told)
    assert {"load", "cpus", "memory", "available", "disk", "free"} <= facts.keys()
    assert int(facts["available"]) <= int(facts["memory"])
    assert int(facts["free"]) <= int(facts["disk"])
    assert (facts["jobs"], facts["gpu"], facts["lease"]) == ("1", line, f"{UUIDS[1]} a")
    user = pwd.getpwuid(os.getuid()).pw_name
    assert [value for key, value in told if key == "process"] == [
        f"{UUIDS[1]} {os.getpid()} {user}",
        f"{UUIDS[2]} 999999999 ",
    ]


def test_a_host_without_jobs_or_driver_tells_the_rest(call: Call, jobs: Path, smi: Path) -> None:
    (smi / "nvidia-smi").unlink()
    facts = dict(records(call("mlcr_top", str(jobs.parent))))
    assert facts["jobs"] == "0"
    assert {"load", "memory", "free"} <= facts.keys()
    assert "gpu" not in facts
