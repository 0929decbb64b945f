# SPDX-License-Identifier: Apache-2.0
"""Whole runs on real hosts, the way a user starts them."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
import yaml

from mlcube_remote.runs.ids import new_run_id
from mlcube_remote.sandbox.engine import BASE_IMAGE, docker
from tests.support.command_line import command, mirror, on, run
from tests.support.cubes import FILE, shell_task, write_cube

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory


COPY = shell_task(
    'i=${0#*=}; o=${1#*=}; cat "$i"; cat "$i" >"$o"; echo "on $(hostname)" >&2',
    inputs={"text": {**FILE, "default": "in.txt"}},
    outputs={"copy": {**FILE, "default": "out/copy.txt"}},
)


@pytest.fixture
def copy_cube(tmp_path: Path) -> Path:
    cube = write_cube(tmp_path / "cube", {"copy": COPY})
    (cube / "workspace" / "in.txt").write_text("hello\n")
    return cube


def test_outputs_come_home_into_the_workspace(ssh_host: HostFactory, copy_cube: Path) -> None:
    done = on(ssh_host(), copy_cube, "--task=copy")
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"hello\n"
    assert (copy_cube / "workspace/out/copy.txt").read_text() == "hello\n"
    assert not list((copy_cube / "workspace").glob(".mlcube-remote*"))


def test_several_hosts_each_have_a_folder_of_results(
    ssh_host: HostFactory, inventory_of: Callable[..., Path], copy_cube: Path
) -> None:
    hosts = (ssh_host("docker"), ssh_host("dash"))
    done = run(inventory_of(*hosts), copy_cube, "--host=all_of_them", "--task=copy")
    assert done.returncode == 0, done.stderr
    (results,) = (copy_cube / "results").iterdir()
    for host in hosts:
        assert (results / host.name / "out/copy.txt").read_text() == "hello\n"
        assert f"{host.name} | hello".encode() in done.stdout
    assert not (copy_cube / "workspace/out").exists()


MEASURE = shell_task(
    'o=${0#*=}; echo "{\\"accuracy\\": 0.$(hostname | tr -dc 0-9 | cut -c1-3)5}" >"$o"; '
    'mkdir "${1#*=}/d"; echo x >"${1#*=}/d/x"',
    outputs={"metrics": {**FILE, "default": "m.json"}, "model": {"default": "model/"}},
)


def results(run_id: str, *options: str) -> str:
    argv = [sys.executable, "-m", "mlcube_remote", "results", "show", run_id, *options]
    return subprocess.run(argv, capture_output=True, check=True, text=True).stdout


def test_the_results_of_several_hosts_are_indexed_and_compared(
    ssh_host: HostFactory, inventory_of: Callable[..., Path], tmp_path: Path
) -> None:
    hosts = (ssh_host("docker"), ssh_host("dash"))
    cube = write_cube(tmp_path / "cube", {"measure": MEASURE})
    done = run(inventory_of(*hosts), cube, "--host=all_of_them", "--task=measure")
    assert done.returncode == 0, done.stderr
    (folder,) = (cube / "results").iterdir()
    assert f"mlcube-remote results show {folder.name}" in done.stderr.decode()
    index = json.loads((folder / "results.json").read_text())
    assert [job["host"] for job in index["jobs"]] == [host.name for host in hosts]
    for job in index["jobs"]:
        assert (job["status"], job["exit_code"]) == ("succeeded", 0)
        assert job["started"] <= job["finished"]
        metrics, model = job["outputs"]
        written = (folder / metrics["path"]).read_bytes()
        assert metrics["sha256"] == hashlib.sha256(written).hexdigest()
        assert (metrics["size"], metrics["files"]) == (len(written), 1)
        assert (model["size"], model["files"]) == (2, 1)
        assert metrics["metrics"] == json.loads(written)
    rows = list(csv.DictReader(results(folder.name, "--csv", "--sort=-accuracy").splitlines()))
    best = [float(row["accuracy"]) for row in rows]
    assert best == sorted(best, reverse=True)


def test_programs_are_told_what_happens_and_how_it_ended(
    ssh_host: HostFactory, inventory_of: Callable[..., Path], tmp_path: Path
) -> None:
    hosts = (ssh_host("docker"), ssh_host("dash"))
    good, bad = (host.name for host in hosts)
    inventory = inventory_of(*hosts)
    described = yaml.safe_load(inventory.read_text())
    described["hosts"][bad]["env"] = {"CODE": "3"}
    inventory.write_text(yaml.safe_dump(described))
    cube = write_cube(tmp_path / "cube", {"try": shell_task("echo on; exit $CODE")})
    events, report = tmp_path / "events.jsonl", tmp_path / "report.xml"
    done = run(
        inventory,
        cube,
        "--host=all_of_them",
        "--task=try",
        f"--events={events}",
        f"--junit={report}",
    )
    assert done.returncode == 1, done.stderr
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    assert (lines[0]["event"], lines[0]["jobs"]) == ("run-started", [good, bad])
    assert (lines[-1]["event"], lines[-1]["exit_code"]) == ("run-finished", 1)
    for host in (good, bad):
        mine = [line for line in lines if line.get("host") == host]
        stages = [line["stage"] for line in mine if line["event"] == "stage-finished"]
        assert stages == ["connect", "sync", "configure", "run", "pull"]
        text = "".join(line["text"] for line in mine if line["event"] == "output")
        assert text == "on\n"
        assert mine[-1]["event"] == "job-finished"
    cases = {case.get("classname"): case for case in ET.parse(report).iter("testcase")}  # noqa: S314
    assert {name: [child.tag for child in case] for name, case in cases.items()} == {
        good: [],
        bad: ["failure"],
    }


def test_only_what_failed_runs_again_into_the_same_results(
    ssh_host: HostFactory, inventory_of: Callable[..., Path], tmp_path: Path
) -> None:
    hosts = (ssh_host("docker"), ssh_host("dash"))
    good, bad = (host.name for host in hosts)
    inventory = inventory_of(*hosts)
    cured = inventory.read_text()
    described = yaml.safe_load(cured)
    described["hosts"][bad]["env"] = {"CODE": "3"}
    inventory.write_text(yaml.safe_dump(described))
    task = shell_task(
        'date +%N >"${0#*=}"; exit ${CODE:-0}', outputs={"made": {**FILE, "default": "made"}}
    )
    cube = write_cube(tmp_path / "cube", {"try": task})
    done = run(inventory, cube, "--host=all_of_them", "--task=try")
    assert done.returncode == 1, done.stderr
    (folder,) = (cube / "results").iterdir()
    again = f"mlcube-remote rerun {folder.name} --failed"
    assert f"1 task failed: {bad}\n  run them again:  {again}\n" in done.stderr.decode()
    before = (folder / good / "made").read_text()
    inventory.write_text(cured)
    done = subprocess.run(
        [sys.executable, "-m", *again.replace("-", "_", 1).split()],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert good.encode() not in done.stderr
    jobs = json.loads(results(folder.name, "--json"))["jobs"]
    assert [(job["host"], job["status"], job["attempt"]) for job in jobs] == [
        (good, "succeeded", 1),
        (bad, "succeeded", 2),
    ]
    assert (folder / good / "made").read_text() == before, "it ran once"
    assert not (cube / "workspace/made").exists()
    done = subprocess.run(
        [sys.executable, "-m", "mlcube_remote", "status", folder.name, "--output=json"],
        capture_output=True,
        check=False,
    )
    assert [job["status"] for job in json.loads(done.stdout)["jobs"]] == ["succeeded"] * 2


def test_with_fail_fast_the_others_are_stopped(
    ssh_host: HostFactory, inventory_of: Callable[..., Path], tmp_path: Path
) -> None:
    hosts = (ssh_host("docker"), ssh_host("dash"))
    patient, quick = (host.name for host in hosts)
    inventory = inventory_of(*hosts)
    described = yaml.safe_load(inventory.read_text())
    described["hosts"][quick]["env"] = {"CODE": "3"}
    inventory.write_text(yaml.safe_dump(described))
    cube = write_cube(
        tmp_path / "cube",
        {"try": shell_task('test -z "$CODE" || exit 3; trap "exit 143" TERM; sleep 120 & wait')},
    )
    done = run(inventory, cube, "--host=all_of_them", "--task=try", "--fail-fast", "--output=json")
    assert done.returncode == 1, done.stderr
    jobs = {job["host"]: job for job in json.loads(done.stdout)["jobs"]}
    assert jobs[quick]["status"] == "failed"
    assert jobs[patient]["status"] == "cancelled"
    assert jobs[patient]["error"]["message"] == f"cancelled: {quick} had failed"
    assert not docker(
        "ps",
        "--quiet",
        "--filter",
        f"label=org.mlcommons.mlcube-remote.run={json.loads(done.stdout)['run']}",
    )


def test_the_results_of_one_host_are_known_until_they_are_cleaned_away(
    ssh_host: HostFactory, tmp_path: Path
) -> None:
    cube = write_cube(tmp_path / "cube", {"measure": MEASURE})
    done = on(ssh_host(), cube, "--task=measure", "--output=json")
    run_id = json.loads(done.stdout)["run"]
    first = json.loads(results(run_id, "--json"))
    assert on(ssh_host(), cube, "--task=measure").returncode == 0, "which writes the same files"
    assert json.loads(results(run_id, "--json")) == first
    assert first["jobs"][0]["outputs"][0]["metrics"].keys() == {"accuracy"}
    assert not (cube / "results").exists()


@pytest.mark.parametrize("flavour", ["fish", "tcsh", "busybox", "noisy", "one-session"])
def test_any_login_shell_will_do(ssh_host: HostFactory, copy_cube: Path, flavour: str) -> None:
    done = on(ssh_host(flavour), copy_cube, "--task=copy")
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"hello\n"
    assert (copy_cube / "workspace/out/copy.txt").read_text() == "hello\n"


def test_tasks_run_in_order_until_one_fails(ssh_host: HostFactory, tmp_path: Path) -> None:
    say = {"outputs": {"out": "out/"}}
    cube = write_cube(
        tmp_path / "cube",
        {
            "first": shell_task("echo one; echo one >${0#*=}/one", **say),
            "second": shell_task("echo two; echo left >${0#*=}/left; exit 7", **say),
            "third": shell_task("echo three", **say),
        },
    )
    done = on(ssh_host(), cube, "--task=first,second,third", "--output=json")
    assert done.returncode == 7
    document = json.loads(done.stdout)
    (job,) = document["jobs"]
    assert [(task["task"], task["status"], task["exit_code"]) for task in job["tasks"]] == [
        ("first", "succeeded", 0),
        ("second", "failed", 7),
        ("third", "not-started", None),
    ]
    assert document["exit_code"] == 7
    assert (cube / "workspace/out/left").read_text() == "left\n", "what a failed task left"
    assert b"one\n" in done.stderr


def test_a_missing_output_is_a_failure(ssh_host: HostFactory, tmp_path: Path) -> None:
    task = shell_task("true", outputs={"model": {**FILE, "default": "model.bin"}})
    cube = write_cube(tmp_path / "cube", {"train": task})
    done = on(ssh_host(), cube, "--task=train")
    assert done.returncode == 1
    assert b"did not produce its output model" in done.stderr
    quiet = on(ssh_host(), cube, "--task=train", "--quiet")
    said = f"error: {ssh_host().name}: train: exited 0 but did not produce its output model\n"
    assert (quiet.returncode, quiet.stderr.decode()) == (1, said)


def test_the_mirror_follows_deletions_except_in_the_workspace(
    ssh_host: HostFactory, copy_cube: Path
) -> None:
    host = ssh_host(private=True)
    (copy_cube / "code.py").write_text("1")
    (copy_cube / "workspace/old.txt").write_text("1")
    assert on(host, copy_cube, "--task=copy").returncode == 0
    (copy_cube / "code.py").unlink()
    (copy_cube / "workspace/old.txt").unlink()
    assert on(host, copy_cube, "--task=copy").returncode == 0
    assert not (mirror(host) / "code.py").exists()
    assert (mirror(host) / "workspace/old.txt").exists()
    assert (mirror(host) / "workspace/out/copy.txt").exists()


def test_what_must_stay_here_is_not_sent(ssh_host: HostFactory, copy_cube: Path) -> None:
    host = ssh_host(private=True)
    stays = [".git/config", ".env", "deep/key.pem", "big/data.bin", "results/r/x", "a.tmp"]
    goes = ["code.py", "big/keep.txt", "b[1].tmp2"]
    for name in (*stays, *goes):
        (copy_cube / name).parent.mkdir(parents=True, exist_ok=True)
        (copy_cube / name).write_text("x")
    (copy_cube / "workspace/out").mkdir()
    (copy_cube / "workspace/out/copy.txt").write_text("an old result")
    (copy_cube / ".mlcubeignore").write_text("# large\nbig/*\n!big/keep.txt\n*.tmp\n")
    assert on(host, copy_cube, "--task=copy").returncode == 0
    sent = {str(path.relative_to(mirror(host))) for path in mirror(host).rglob("*")}
    assert set(goes) <= sent
    assert not set(stays) & sent
    document = json.loads(on(host, copy_cube, "--task=copy", "--output=json").stdout)
    assert document["status"] == "succeeded"


def test_a_link_that_leaves_the_cube_is_named_not_followed(
    ssh_host: HostFactory, copy_cube: Path
) -> None:
    host = ssh_host(private=True)
    (copy_cube / "secret").symlink_to("/etc/shadow")
    done = on(host, copy_cube, "--task=copy")
    assert done.returncode == 0
    assert b"not sent: secret: a link that leads out of the cube" in done.stderr
    assert not os.path.lexists(mirror(host) / "secret")
    (copy_cube / "workspace/in.txt").unlink()
    (copy_cube / "workspace/in.txt").symlink_to("/etc/hostname")
    done = on(host, copy_cube, "--task=copy")
    assert done.returncode == 2
    assert b"text=local:/etc/hostname" in done.stderr


WEIRD = [
    "spaces and  more",
    'quote\'s "both"',
    "$(touch pwned)",
    "new\nline",
    "-rf",
    "ünïcödé",
    "back\\slash",
    "*?[x]",
    "x" * 200,
]


def test_weird_file_names_travel_both_ways(ssh_host: HostFactory, tmp_path: Path) -> None:
    task = shell_task(
        'cp -R "${0#*=}/." "${1#*=}"',
        inputs={"tree": {"type": "directory", "default": "tree"}},
        outputs={"copy": {"type": "directory", "default": "copy of tree"}},
    )
    cube = write_cube(tmp_path / "cube", {"copy": task})
    tree = cube / "workspace/tree"
    tree.mkdir()
    names = [os.fsencode(name) for name in WEIRD] + [b"not\xffutf8"]
    for name in names:
        (tree / os.fsdecode(name)).write_bytes(name)
    done = on(ssh_host(), cube, "--task=copy", "--output=json")
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)
    copy = os.fsencode(cube / "workspace/copy of tree")
    assert sorted(os.listdir(copy)) == sorted(names)
    assert all((Path(os.fsdecode(copy)) / os.fsdecode(n)).read_bytes() == n for n in names)


@pytest.mark.parametrize("flavour", ["docker", "fish", "tcsh"])
def test_parameter_values_arrive_as_they_are(
    ssh_host: HostFactory, tmp_path: Path, flavour: str
) -> None:
    values = {f"p{index}": value for index, value in enumerate(WEIRD)}
    inputs = {name: {**FILE, "default": f"dir/{name}"} for name in values}
    task = shell_task(
        'for a; do printf "%s\\0" "$a"; done',
        inputs=inputs,
        outputs={"out": {"type": "directory", "default": "o"}},
    )
    cube = write_cube(tmp_path / "cube", {"show": task})
    files = {name: f"in/{value}" for name, value in values.items()}
    for value in files.values():
        (cube / "workspace" / value).parent.mkdir(parents=True, exist_ok=True)
        (cube / "workspace" / value).write_text("x")
    given = [f"{name}={value}" for name, value in files.items()]
    done = on(ssh_host(flavour), cube, "--task=show", *given)
    assert done.returncode == 0, done.stderr
    arrived = [word.decode() for word in done.stdout.split(b"\0")[:-1]]
    expected = [f"--{name}=/mlcube_io0/{value}" for name, value in values.items()]
    assert arrived[: len(expected) - 1] == expected[1:]


def test_paths_with_colons_and_commas_can_be_mounted(ssh_host: HostFactory, tmp_path: Path) -> None:
    task = shell_task(
        'cat "${0#*=}/f" >"${1#*=}/f"',
        inputs={"data": {"type": "directory", "default": "a:b,c"}},
        outputs={"out": {"type": "directory", "default": "x,y:z"}},
    )
    cube = write_cube(tmp_path / "cube", {"copy": task})
    (cube / "workspace/a:b,c").mkdir()
    (cube / "workspace/a:b,c/f").write_text("odd")
    done = on(ssh_host(), cube, "--task=copy")
    assert done.returncode == 0, done.stderr
    assert (cube / "workspace/x,y:z/f").read_text() == "odd"


CANARY = "canary-4f9a1c-secret"


def test_a_secret_reaches_the_container_and_nothing_else(
    ssh_host: HostFactory, tmp_path: Path
) -> None:
    host = ssh_host(private=True)
    task = shell_task(
        'printf %s "$TOKEN" | sha256sum >"${0#*=}"; sleep 1',
        outputs={"digest": {**FILE, "default": "digest.txt"}},
    )
    cube = write_cube(tmp_path / "cube", {"use": task})
    seen: set[bytes] = set()
    over = threading.Event()

    def sample() -> None:
        while not over.wait(0.005):
            for process in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(process.read_bytes())
                except OSError:
                    continue

    watcher = threading.Thread(target=sample)
    watcher.start()
    try:
        done = on(host, cube, "--task=use", "--env=TOKEN", "--output=json", "-v", TOKEN=CANARY)
    finally:
        over.set()
        watcher.join()
    assert done.returncode == 0, done.stderr
    expected = subprocess.run(
        ["sha256sum"], input=CANARY.encode(), capture_output=True, check=True
    ).stdout
    assert (cube / "workspace/digest.txt").read_bytes() == expected
    assert any(b"docker\0run" in argv for argv in seen), "the run was watched"
    assert not [argv for argv in seen if CANARY.encode() in argv]
    assert CANARY.encode() not in done.stdout + done.stderr
    told = [line for line in done.stderr.splitlines() if b" run use: docker run " in line]
    assert [b" -e TOKEN " in line for line in told] == [True], "-v tells the command"
    leaked = subprocess.run(
        ["grep", "-rl", CANARY, str(host.home), str(tmp_path)], capture_output=True, check=False
    )
    assert leaked.stdout == b""
    shown = on(host, cube, "--task=use", "--env=TOKEN", "--dry-run", TOKEN=CANARY)
    assert shown.returncode == 0
    assert CANARY.encode() not in shown.stdout + shown.stderr


def test_a_value_on_the_command_line_is_refused(ssh_host: HostFactory, copy_cube: Path) -> None:
    done = on(ssh_host(), copy_cube, "--task=copy", "--env=TOKEN=abc")
    assert done.returncode == 2
    assert b"export TOKEN first" in done.stderr


def test_data_of_this_machine_is_sent_and_brought_back(
    ssh_host: HostFactory, copy_cube: Path, tmp_path: Path
) -> None:
    (tmp_path / "else where.txt").write_text("from elsewhere")
    target = tmp_path / "new folder" / "result.txt"
    done = on(
        ssh_host(),
        copy_cube,
        "--task=copy",
        f"text=local:{tmp_path}/else where.txt",
        f"copy=local:{target}",
    )
    assert done.returncode == 0, done.stderr
    assert target.read_text() == "from elsewhere"


def test_a_workspace_of_ones_own_is_mirrored_apart(
    ssh_host: HostFactory, copy_cube: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "in.txt").write_text("other\n")
    done = on(ssh_host(), copy_cube, "--task=copy", f"--workspace={other}")
    assert done.returncode == 0, done.stderr
    assert (other / "out/copy.txt").read_text() == "other\n"
    assert not (copy_cube / "workspace/out").exists()


def test_data_on_the_host_is_used_in_place(ssh_host: HostFactory, copy_cube: Path) -> None:
    host = ssh_host()
    host.exec(["sh", "-c", f"echo there >{host.home}/data.txt; chmod 644 {host.home}/data.txt"])
    done = on(host, copy_cube, "--task=copy", f"text={host.home}/data.txt")
    assert done.returncode == 0, done.stderr
    assert (copy_cube / "workspace/out/copy.txt").read_text() == "there\n"


def test_data_on_the_host_is_whatever_it_is_there(ssh_host: HostFactory, tmp_path: Path) -> None:
    script = """
        for each in "$0" "$@"; do
            [ ! -d "${each#*=}" ] || each="$each/"
            echo "${each##*/mlcube_io}"
        done
    """
    task = shell_task(script, inputs=dict.fromkeys("abc"))
    cube, host = write_cube(tmp_path / "cube", {"tell": task}), ssh_host()
    (tmp_path / "sent").mkdir()
    host.exec(["su", "mlcube", "-c", "mkdir -p ~/data/dir; echo >~/data/file"])
    places = ("a=~/data/file", "b=$HOME/data/dir", f"c=local:{tmp_path}/sent")
    done = on(host, cube, "--task=tell", *places)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().split() == ["0/file", "1/", "2/"]
    done = on(host, cube, "--task=tell", "a=~/gone", *places[1:])
    assert done.returncode == 2
    missing = f"error: {host.name}: tell.a: input {host.home}/gone does not exist on the host\n"
    assert missing.encode() in done.stderr


def test_data_that_the_host_does_not_have_is_named(ssh_host: HostFactory, copy_cube: Path) -> None:
    host, here = ssh_host(), copy_cube / "workspace/in.txt"
    done = on(host, copy_cube, "--task=copy", f"text={host.home}/gone/data.txt")
    assert done.returncode == 2
    missing = (
        f"{host.name}: copy.text: input {host.home}/gone/data.txt does not exist on the host\n"
    )
    hint = (
        "hint: create it on the host, or give another: text=PATH; if the task can do without it: "
        "--allow-missing=text"
    )
    assert f"error: {missing}{hint}" in done.stderr.decode()
    assert host.exec(["test", "-e", f"{host.home}/gone"]).exit_code == 1, "nothing was touched"
    done = on(host, copy_cube, "--task=copy", f"text={here}")
    assert done.returncode == 2
    assert f"hint: it is on this machine, so: text=local:{here}\n".encode() in done.stderr


def test_a_task_finds_what_an_earlier_run_left_on_its_host(
    ssh_host: HostFactory, inventory_of: Callable[..., Path], tmp_path: Path
) -> None:
    cube = write_cube(
        tmp_path / "cube",
        {
            "make": shell_task("hostname >${0#*=}/name", outputs={"data": "data/"}),
            "use": shell_task("cat ${0#*=}/name", inputs={"data": "data/"}),
        },
    )
    hosts = (ssh_host("docker"), ssh_host("dash"))
    inventory = inventory_of(*hosts)
    use = ("--host=all_of_them", "--task=use")
    early = run(inventory, cube, *use)
    assert early.returncode == 2, "no task made it yet"
    assert b"run the task that makes it first" in early.stderr
    assert b"configure:" not in early.stderr, "an image may take long to build"
    assert run(inventory, cube, "--host=all_of_them", "--task=make").returncode == 0
    done = run(inventory, cube, *use)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b" | ") == 2


def test_a_dry_run_touches_nothing(copy_cube: Path, tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.yaml"
    inventory.write_text("hosts: {gone: {address: 127.0.0.1, port: 1}}")
    done = run(inventory, copy_cube, "--host=gone", "--task=copy", "--dry-run", "--output=json")
    assert done.returncode == 0, done.stderr
    (job,) = json.loads(done.stdout)["jobs"]
    assert set(job) == {"host", "platform", "task", "configure", "run", "creates", "launch"}
    assert job["run"][-1][:2] == ["docker", "run"]
    assert job["configure"] == [["docker", "pull", BASE_IMAGE]]
    text = run(inventory, copy_cube, "--host=gone", "--task=copy", "--dry-run").stdout.decode()
    assert "docker run --entrypoint=/bin/sh --volume ~/.mlcube-remote/cubes/" in text
    assert not (copy_cube / "workspace/out").exists()


def test_this_machine_is_a_host_too(copy_cube: Path, tmp_path: Path) -> None:
    (tmp_path / "hosts.yaml").write_text(f"hosts: {{local: {{remote_root: {tmp_path}/root}}}}")
    done = run(tmp_path / "hosts.yaml", copy_cube, "--host=local", "--task=copy")
    assert done.returncode == 0, done.stderr
    assert (copy_cube / "workspace/out/copy.txt").read_text() == "hello\n"
    assert b"docker run" not in done.stderr


def test_a_dead_host_does_not_hold_up_the_others(
    ssh_host: HostFactory, inventory_of: Callable[..., Path], copy_cube: Path
) -> None:
    inventory = inventory_of(ssh_host("docker"), ssh_host("dash"))
    described = yaml.safe_load(inventory.read_text())
    described["hosts"]["dead"] = {"address": "127.0.0.1", "port": 1}
    inventory.write_text(yaml.safe_dump(described))
    done = run(inventory, copy_cube, "--host=all", "--task=copy", "--output=json")
    assert done.returncode == 120
    states = {job["host"]: job["status"] for job in json.loads(done.stdout)["jobs"]}
    assert states.pop("dead") == "not-started"
    assert set(states.values()) == {"succeeded"}


def test_two_names_of_one_machine_take_turns(ssh_host: HostFactory, copy_cube: Path) -> None:
    host = ssh_host(private=True)
    described = yaml.safe_load(host.inventory.read_text())
    described["hosts"]["again"] = described["hosts"][host.name]
    inventory = copy_cube / "hosts.yaml"
    inventory.write_text(yaml.safe_dump(described))
    done = run(inventory, copy_cube, "--host=all", "--task=copy")
    assert done.returncode == 0, done.stderr
    assert b"shares its remote_root with" in done.stderr


def test_containers_carry_our_labels_and_no_privileges(
    ssh_host: HostFactory, tmp_path: Path
) -> None:
    host = ssh_host()
    task = shell_task("sleep 3", outputs={"out": "out/"})
    cube = write_cube(tmp_path / "cube", {"wait": task})
    run_id = new_run_id()
    running = subprocess.Popen(
        command(host.inventory, cube, f"--host={host.name}", "--task=wait", f"--run-id={run_id}"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    name = _wait_for_container(run_id)
    (about,) = json.loads(docker("inspect", name))
    output, _ = running.communicate(timeout=60)
    assert running.returncode == 0, output
    labels = about["Config"]["Labels"]
    assert labels["org.mlcommons.mlcube-remote.task"] == "wait"
    assert about["HostConfig"]["SecurityOpt"] == ["no-new-privileges"]
    assert about["HostConfig"]["LogConfig"]["Type"] == "none", "its log is kept once"
    assert not about["HostConfig"]["Privileged"]
    deadline = time.monotonic() + 20
    while docker("ps", "--all", "--quiet", "--filter", f"name={name}"):
        assert time.monotonic() < deadline, "the container is removed after the run"
        time.sleep(0.1)


def test_an_interrupt_stops_the_task(ssh_host: HostFactory, tmp_path: Path) -> None:
    host = ssh_host()
    task = shell_task(
        'trap "echo stopped; exit 3" TERM; echo ready; sleep 60 & wait', outputs={"out": "out/"}
    )
    cube = write_cube(tmp_path / "cube", {"wait": task})
    running = subprocess.Popen(
        command(host.inventory, cube, f"--host={host.name}", "--task=wait", "--output=json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert running.stderr is not None
    while b"ready" not in running.stderr.readline():
        pass
    running.send_signal(signal.SIGINT)
    output, told = running.communicate(timeout=60)
    assert running.returncode == 130, told
    (job,) = json.loads(output)["jobs"]
    assert job["status"] == "cancelled"
    assert b"stopped" in told


def _wait_for_container(run_id: str) -> str:
    """Return the name of the run's container: hosts of other test sessions may have one name."""
    label = f"label=org.mlcommons.mlcube-remote.run={run_id}"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        names = docker("ps", "--filter", label, "--format", "{{.Names}}").split()
        if names:
            return names[0]
        time.sleep(0.05)
    pytest.fail("no container appeared")
