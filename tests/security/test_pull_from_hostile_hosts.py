# SPDX-License-Identifier: Apache-2.0
"""A host that means harm sends outputs: nothing changes here but the declared outputs.

The rsync and sha256sum of a real host are replaced by programs that attack. Each test compares the
digest of the user's home and of the cube before and after.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

import pytest

from mlcube_remote.errors import HostUnfitError, TransferError, UnsafeContentError
from mlcube_remote.files import checksums, received
from mlcube_remote.transport import rsync_process
from tests.support.hostile_pulls import Attack, attack, digests, private_host
from tests.support.hosts import engine, ssh_host

__all__ = ["attack", "engine", "private_host", "ssh_host"]

REPLACE = r"""exec perl -e '
    # Replace names in what the real rsync sends, by names of the same length.
    open(my $from, "-|", "/usr/bin/rsync", @ARGV) or exit 1;
    while (sysread($from, my $data, 65536)) {
        $data =~ s#OLD#NEW#g;
        my $at = 0;
        $at += syswrite(STDOUT, $data, length($data) - $at, $at) while $at < length($data);
    }
' -- "$@"
"""


NAMES = {
    "a path upwards": (
        "out/",
        "mkdir out/AA out/AA/BB; echo x >out/AABBAAevil",
        "AABB.A",
        "../../",
    ),
    "an absolute path": ("AABBAAevil", "echo x >AABBAAevil", "AABBAA", "/tmp/x"),
    "an absolute directory": ("AAAAevil/", "mkdir AAAAevil; echo x >AAAAevil/a", "AAAA", "/tmp"),
    "a name beside": ("out/", "echo x >out/evil", "/evil", "-evil"),
    "two dots": ("out/", "echo x >out/AA; mkdir out/BB", "AA", ".."),
    "a directory of two dots": ("out/", "mkdir out/BB; echo x >out/BB/evil", "BB", ".."),
    "another file": ("aaaaa", "echo x >aaaaa", "aaaaa", "notes"),
    "the directory above": ("AAAAA/", "mkdir AAAAA; echo x >AAAAA/b", "AAAAA", ".././"),
    "no name": ("AA", "echo x >AA", "AA", "/."),
}
"""Output, what the host makes, and what its rsync then sends instead of a name."""


@pytest.mark.parametrize("which", NAMES)
def test_a_name_that_was_not_requested_changes_nothing(attack: Attack, which: str) -> None:
    output, script, old, new = NAMES[which]
    attack.make(script)
    attack.send_instead(REPLACE.replace("OLD", old).replace("NEW", new))
    before = attack.outside()
    with pytest.raises((TransferError, UnsafeContentError)):
        attack.pull(output)
    assert attack.outside() == before
    assert not Path("/tmp/xevil").exists()
    assert not Path("/tmpAAevil").exists()


def test_names_can_be_replaced_on_the_way(attack: Attack) -> None:
    """Without this, the test above would prove nothing."""
    attack.make("echo x >out/AAAA")
    attack.send_instead(REPLACE.replace("OLD", "AAAA").replace("NEW", "BBBB"))
    with pytest.raises(TransferError, match="'out/BBBB' differs from the host's"):
        attack.pull()


LINKS = {
    "to the home": "ln -s ../../.. out/d",
    "absolute": "ln -s /etc out/d",
    "through another": "mkdir -p out/a/b; ln -s a/b out/l; ln -s l/../../../.. out/d",
    "through two": "mkdir out/x; ln -s x out/l1; ln -s l1/.. out/l2; ln -s l2/../../.. out/d",
    "to itself": "ln -s d out/d",
    "to the staging directory": "ln -s ../.mlcube-remote-pull-x out/d",
    "inside": "mkdir out/inner; ln -s inner out/d",
    "inside, dangling": "ln -s later out/d",
}


@pytest.mark.parametrize("which", LINKS)
def test_a_link_and_then_a_directory_of_its_name(attack: Attack, which: str) -> None:
    before = attack.outside()
    attack.make(LINKS[which])
    attack.pull()
    assert attack.outside() == before
    attack.make("rm -rf out/d; mkdir -p out/d/.ssh; echo x >out/d/.bashrc; echo x >out/d/passwd")
    with contextlib.suppress(TransferError):
        attack.pull()
    assert attack.outside() == before


def test_a_directory_and_then_a_link_of_its_name(attack: Attack) -> None:
    before = attack.outside()
    attack.make("mkdir out/d; echo one >out/d/a")
    attack.pull()
    attack.make("rm -rf out/d; ln -s ../../../.ssh out/d")
    attack.pull()
    assert attack.outside() == before
    assert (attack.workspace / "out/d/a").read_text() == "one\n"


def test_devices_pipes_and_sockets_are_omitted_and_special_bits_are_dropped(attack: Attack) -> None:
    before = attack.outside()
    attack.make("mkfifo out/pipe; echo x >out/suid; chmod 6755 out/suid; mkdir -m 1777 out/sticky")
    attack.host.exec(["mknod", f"{attack.there}/out/null", "c", "1", "3"])
    result = attack.pull()
    assert attack.outside() == before
    kinds = {path.name: stat.S_IMODE(path.lstat().st_mode) for path in attack.workspace.rglob("*")}
    assert {"pipe", "null"}.isdisjoint(kinds)
    assert {each.path for each in result.omitted} >= {"out/pipe"}
    assert kinds["suid"] & 0o7000 == 0
    assert kinds["sticky"] & 0o2000 == 0


def test_names_that_differ_in_case_and_names_of_any_bytes(attack: Attack) -> None:
    before = attack.outside()
    attack.make(
        r"""echo a >out/A; echo b >out/a; echo c >"out/$(printf 'caf\351')"
        echo d >"out/$(printf 'x\nskipping non-regular file "notes"')"; echo e >'out/ -rf *'"""
    )
    result = attack.pull()
    assert attack.outside() == before
    assert (attack.workspace / "out/A").read_text() == "a\n"
    assert (attack.workspace / "out/a").read_text() == "b\n"
    assert (attack.workspace / "out" / os.fsdecode(b"caf\xe9")).read_text() == "c\n"
    assert not result.omitted


def test_a_path_of_4096_bytes(attack: Attack) -> None:
    name = "n" * 250
    attack.make(f"cd out; for i in $(seq 20); do mkdir {name} && cd {name}; done; echo x >x")
    before = attack.outside()
    with contextlib.suppress(TransferError):
        attack.pull()
    assert attack.outside() == before


def test_a_tree_that_is_too_deep(attack: Attack) -> None:
    attack.make("cd out; for i in $(seq 300); do mkdir d && cd d; done; echo x >x")
    before = digests(attack.home)
    with pytest.raises(UnsafeContentError, match="more than 200 nested directories"):
        attack.pull()
    assert digests(attack.home) == before


def test_a_sparse_file_larger_than_the_disk(attack: Attack) -> None:
    attack.make("truncate -s 7T out/sparse")
    before = attack.outside()
    with pytest.raises(TransferError, match="larger than this machine's free disk space"):
        attack.pull()
    assert attack.outside() == before


def test_more_files_than_the_limit(attack: Attack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(received, "MAX_ENTRIES", 1000)
    attack.make("cd out; seq 1200 | xargs touch")
    before = digests(attack.home)
    with pytest.raises(UnsafeContentError, match="more than 1,000 files"):
        attack.pull()
    assert digests(attack.home) == before


def test_a_list_of_files_that_does_not_fit_into_memory(
    attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rsync_process, "MIN_MEMORY", 24 * 2**20)
    monkeypatch.setattr(os, "sysconf", lambda name: 4096 if name == "SC_PAGE_SIZE" else 1)
    attack.make(f"cd out; seq -f '%.0f{'n' * 240}' 50000 | xargs touch")
    before = digests(attack.home)
    with pytest.raises(TransferError, match="out of memory"):
        attack.pull()
    assert attack.outside() == before


def test_content_that_changes_during_the_pull(attack: Attack) -> None:
    attack.make("echo x >out/log")
    attack.sum_instead('echo more >>"$(readlink /proc/self/fd/0)"; /usr/bin/sha256sum')
    before = attack.outside()
    with pytest.raises(TransferError, match="'out/log' differs from the host's"):
        attack.pull()
    assert attack.outside() == before
    assert not (attack.workspace / "out").exists()


BAD_SUMS = {
    "wrong": 'echo "$(head -c 64 /dev/zero | tr "\\0" a)  -"',
    "too long": "head -c 3000000 /dev/zero | tr '\\0' a",
    "without end": "cat /dev/zero",
    "nothing": "exit 1",
    "zeros": "printf '\\0\\0\\0\\0'",
}


@pytest.mark.parametrize("which", BAD_SUMS)
def test_checksums_that_make_no_sense(
    attack: Attack, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checksums, "START_S", 5.0)
    attack.make("echo x >out/a")
    attack.sum_instead(BAD_SUMS[which])
    before = attack.outside()
    with pytest.raises((TransferError, HostUnfitError)):
        attack.pull()
    assert attack.outside() == before
