# SPDX-License-Identifier: Apache-2.0
"""Which data reaches a host, and comes back."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.command_line import mirror, on, run
from tests.support.cubes import shell_task, write_cube

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory
from tests.support.example_runs import WEIRD


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


def test_a_workspace_of_ones_own_is_mirrored_separately(
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
