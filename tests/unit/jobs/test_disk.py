# SPDX-License-Identifier: Apache-2.0
"""What hosts store: it is read, shown in 80 columns, and removed by rules that keep outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlcube_remote.errors import UnreachableError
from mlcube_remote.inventory.model import Host
from mlcube_remote.jobs.clean import Cleaned
from mlcube_remote.jobs.clean_mirrors import CleanedMirrors, MirrorRules, clean_mirrors
from mlcube_remote.jobs.disk import HostDisk, read_disk_of_all
from mlcube_remote.jobs.handle import to_document
from mlcube_remote.runs.ids import job_id
from mlcube_remote.runs.store import Store
from mlcube_remote.transport.base import Reply
from mlcube_remote.transport.fake import FakeConnection
from mlcube_remote.ui.tables.clean import clean_document, cleaned_text
from mlcube_remote.ui.tables.disk import disk_document, disk_text
from tests.support.handles import TICKET

DAY = 86_400
GPU, DOWN = Host(name="gpu"), Host(name="down")
CUBE, DATA, OLD = "cubes/mnist-0123456789ab", "data/set-0123456789ab", "cubes/old-0123456789ab"
IMAGE, PULLED = "images/mnist-0123456789ab", "images/base-0123456789ab"
JOB = job_id(TICKET.run_id, "gpu")
USED = {"client": "ada@laptop", "age": str(40 * DAY)}


def items(**changes: dict[str, str]) -> list[tuple[str, dict[str, str]]]:
    """Return the items of a host, with changes to some of them."""
    found = {
        "jobs": ("jobs", {"size": "8"}),
        "cube": (CUBE, {"name": "mnist", "size": "2000", "sif": "1000000", **USED}),
        "data": (DATA, {"name": "/data/set", "atleast": "700000", **USED}),
        "old": (OLD, {"size": "4", "age": str(90 * DAY)}),
        "image": (IMAGE, {"name": "mnist:1", "bytes": "3000000", "built": "yes", **USED}),
        "pulled": (PULLED, {"name": "base:1", "bytes": "5000", **USED}),
    }
    return [(key, {**facts, **changes.get(name, {})}) for name, (key, facts) in found.items()]


def answer(
    *used: str, root: str = "/home/ada/.mlcube-remote", **changes: dict[str, str]
) -> FakeConnection:
    records = [f"root={root}", *(f"used={each}" for each in used)]
    for key, facts in items(**changes):
        records += [f"item={key}", *(f"{name}={value}" for name, value in facts.items())]
    connection = FakeConnection("gpu")
    text = "".join(f"{record}\0" for record in records).encode()
    connection.answer("mlcr_report_disk", Reply(0, text, b""))
    return connection


def disks(connection: FakeConnection, store: Store) -> tuple[HostDisk, ...]:
    def connect(host: Host) -> FakeConnection:
        if host is DOWN:
            raise UnreachableError("down", "connection refused")
        return connection

    return read_disk_of_all([GPU, DOWN], connect, store)


def clean(
    connection: FakeConnection, tmp_path: Path, *, dry_run: bool = False, **rules: Any
) -> CleanedMirrors:
    every = {"older_than": 30 * DAY, "cubes": True, "images": True, **rules}
    (done,) = clean_mirrors(
        [GPU], lambda _: connection, Store(tmp_path), MirrorRules(**every), dry_run=dry_run
    )
    return done


def keys(cleaned: CleanedMirrors) -> list[str]:
    return [item.key for item in cleaned.removed]


def test_the_table_fits_80_columns(tmp_path: Path) -> None:
    data = {"name": "/a/very/long/path/to/the/data/of/a/user", "live": "yes"}
    found = disks(answer(data=data), Store(tmp_path))
    lines = disk_text(found, width=80).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].split()[:2] == ["gpu", "data"]
    assert "≥716.8 MB" in lines[1]
    assert lines[1].endswith("now       in use")
    assert any("SIF 1.0 MB" in line and "40d ago" in line for line in lines)
    assert any("no record of use" in line for line in lines)
    assert any(line.startswith("gpu: ≥721.9 MB in /home/ada") for line in lines)
    assert lines[-1] == "down: no answer: connection refused"
    wide = disk_text(found)
    assert "ada@laptop" in wide


def test_the_document_has_all_facts(tmp_path: Path) -> None:
    document = disk_document(disks(answer(f"{CUBE} {JOB}"), Store(tmp_path)))
    gpu, down = document["hosts"]
    (cube,) = (item for item in gpu["items"] if item["key"] == CUBE)
    assert (cube["kind"], cube["size"], cube["unpulled"]) == ("cube", 2_048_000, [JOB])
    assert "connection refused" in str(down["error"])


def test_what_a_host_says_does_not_reach_the_terminal_unchanged(tmp_path: Path) -> None:
    evil = {"name": "\x1b]0;x\x07", "client": "\x1b[2J", "age": "x", "size": "-5"}
    found = disks(answer(root="\x1b[2J", cube=evil, data={"size": "9" * 50}), Store(tmp_path))
    assert "\x1b" not in disk_text(found)
    rules = MirrorRules(older_than=1, cubes=True)
    done = clean_mirrors(
        [GPU],
        lambda _: answer(old={"name": "\x1b[2J"}, cube={"name": "\x1b[2J"}),
        Store(tmp_path),
        rules,
        dry_run=True,
    )
    assert "\x1b" not in cleaned_text(done, dry_run=True)


def test_a_dry_run_lists_what_is_old_and_unused(tmp_path: Path) -> None:
    done = clean(answer(data={"live": "yes"}), tmp_path, dry_run=True)
    assert keys(done) == [CUBE, IMAGE]
    assert cleaned_text([done], dry_run=True).splitlines() == [
        "would remove gpu: cube mnist (2.0 MB, last use 40d ago)",
        "would remove gpu: image mnist:1 (3.0 MB, last use 40d ago)",
        "kept gpu: data /data/set (≥716.8 MB): a job uses it",
        "kept gpu: cube old-0123456789ab (4.1 kB): it may have outputs that no client has pulled",
        "kept gpu: image base:1 (5.0 kB): mlcube-remote did not build it for you",
        "to remove outputs that were not pulled, too: add --with-outputs",
        "would free 5.0 MB",
    ]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"images": False}, [CUBE, DATA]),
        ({"cubes": False}, [IMAGE]),
        ({"older_than": 41 * DAY}, []),
        ({"with_outputs": True}, [CUBE, DATA, OLD, IMAGE]),
    ],
)
def test_rules_choose(tmp_path: Path, rules: dict[str, Any], expected: list[str]) -> None:
    assert keys(clean(answer(), tmp_path, dry_run=True, **rules)) == expected


def test_outputs_that_this_machine_has_not_pulled_protect_a_mirror(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert CUBE not in keys(clean(answer(f"{CUBE} {JOB}"), tmp_path, dry_run=True))
    outputs = [{"task": each.task, "name": each.name} for f in TICKET.folders for each in f.outputs]
    document = {"ticket": to_document(TICKET), "status": "running", "outputs": outputs}
    store.write(TICKET.run_id, JOB, document)
    assert CUBE in keys(clean(answer(f"{CUBE} {JOB}"), tmp_path, dry_run=True))
    assert CUBE not in keys(clean(answer(cube={"unpulled": "run-1"}), tmp_path, dry_run=True))


def test_the_host_decides_again(tmp_path: Path) -> None:
    connection = answer(old={"client": "x"})
    records = f"removed={IMAGE}\0kept=live {CUBE}\0left={DATA}\0kept=new {OLD}\0removed=other\0"
    records += f"kept=gone {OLD}\0"
    connection.answer("mlcr_remove_unused", Reply(0, records.encode(), b""))
    done = clean(connection, tmp_path)
    assert connection.calls[-1].args == (
        *("~/.mlcube-remote", "600", str(30 * DAY), "", CUBE, DATA, OLD, IMAGE),
    )
    assert keys(done) == [IMAGE]
    found = [(kept.item.key, kept.why.partition(":")[0]) for kept in done.kept]
    assert [each for each in found if each[0] != PULLED] == [
        (CUBE, "a job uses it"),
        (DATA, "a part could not be deleted"),
        (OLD, "the host could not remove it"),
    ]


def test_what_was_cleaned_is_a_document(tmp_path: Path) -> None:
    done = clean(answer(data={"live": "yes"}), tmp_path, dry_run=True)
    jobs = [Cleaned(host="gpu"), Cleaned(host="down", error=UnreachableError("down", "refused"))]
    document = clean_document(jobs, mirrors=[done], dry_run=True)
    gpu, down = document["hosts"]
    assert [item["key"] for item in gpu["removed"]] == [CUBE, IMAGE]
    assert gpu["kept"][0]["why"] == "a job uses it"
    assert (gpu["error"], down["jobs"], document["dry_run"]) == (None, [], True)
    assert "refused" in down["error"]["message"]


def test_a_host_that_cannot_remove_is_an_error(tmp_path: Path) -> None:
    connection = answer()
    connection.answer("mlcr_remove_unused", Reply(1, b"", b"cubes is a symbolic link\n"))
    done = clean(connection, tmp_path)
    assert "cubes is a symbolic link" in str(done.error)
    assert not done.removed
