# SPDX-License-Identifier: Apache-2.0
"""A host that means harm sends outputs: nothing changes here but the declared outputs.

The rsync and sha256sum of a real host are replaced by programs that attack. Each test compares the
digest of the user's home and of the cube before and after.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

from mlcube_remote.errors import AbortedTransferError, TransferError, UnsafeContentError
from mlcube_remote.files import checksums, received
from mlcube_remote.files.download import DownloadResult, download
from mlcube_remote.inventory.load import load
from mlcube_remote.plan.outputs import DownloadFolder, DownloadRequest
from mlcube_remote.transport import connect, rate_floor, rsync_relay
from mlcube_remote.transport.reconnecting import ReconnectingConnection
from tests.support.hosts import engine, ssh_host

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost

__all__ = ["engine", "ssh_host"]

RUN = "251128-100000-" + "a" * 16
REPLACE = r"""exec perl -e '
    # Replace names in what the real rsync sends, by names of the same length.
    open(my $from, "-|", "/usr/bin/rsync", @ARGV) or exit 1;
    while (sysread($from, my $data, 65536)) {
        $data =~ s/OLD/NEW/g;
        my $at = 0;
        $at += syswrite(STDOUT, $data, length($data) - $at, $at) while $at < length($data);
    }
' -- "$@"
"""


@attrs.frozen(kw_only=True)
class Attack:
    """A host, what it sends, and the directories here that it must not change."""

    host: SshHost
    there: Path
    """The directory on the host that the outputs are in."""
    home: Path
    """The user's home on this machine."""

    @property
    def workspace(self) -> Path:
        return self.home / "cube" / "workspace"

    def make(self, script: str) -> None:
        """Run a script on the host, in the directory of the outputs, as the host's user."""
        text = f"cd '{self.there}' && {{ {script}\n}}"
        done = self.host.exec(["su", "mlcube", "-s", "/bin/sh", "-c", text])
        assert done.exit_code == 0, done.output

    def install(self, name: str, script: str) -> None:
        """Put a program before the host's own."""
        text = f"cat >/usr/local/bin/{name} <<'END'\n#!/bin/sh\n{script}\nEND\n"
        self.host.exec(["sh", "-c", f"{text}chmod 755 /usr/local/bin/{name}"])

    def send_instead(self, script: str) -> None:
        """Let the host's rsync run a script instead of sending."""
        self.install(
            "rsync",
            f'case "$*" in *--sender*) cd "{self.there}" || exit 1\n{script}\n;; esac\n'
            'exec /usr/bin/rsync "$@"',
        )

    def pull(self, *outputs: str, min_rate: float = 256.0) -> DownloadResult:
        inventory = load(self.host.inventory)
        host = attrs.evolve(inventory.hosts[self.host.name], min_rate=min_rate)
        folder = DownloadFolder(
            remote=str(self.there),
            target=self.workspace,
            basis=self.workspace,
            outputs=tuple(
                DownloadRequest(
                    task="t", name=path, path=path.rstrip("/"), directory=path.endswith("/")
                )
                for path in outputs or ("out/",)
            ),
            anchor=self.home / "cube",
        )
        with contextlib.closing(connect(host, inventory)) as connection:
            reconnecting = ReconnectingConnection(
                current=connection, dial=lambda: connect(host, inventory), timeout=5.0
            )
            return reconnecting.retrying(lambda at: download(at, folder, run=RUN))

    def outside(self) -> dict[str, str]:
        """Return (path, digest) of all files here but the output ``out``."""
        skipped = self.workspace / "out"
        return {
            path: text
            for path, text in digests(self.home).items()
            if not Path(path).is_relative_to(skipped)
        }


def digests(top: Path) -> dict[str, str]:
    """Return the kind, mode and content of each entry below a directory."""
    found = {}
    for folder, directories, files in os.walk(os.fsencode(top)):
        for name in [*directories, *files]:
            path = os.path.join(folder, name)
            about = os.lstat(path)
            content = b""
            if stat.S_ISLNK(about.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(about.st_mode):
                content = Path(os.fsdecode(path)).read_bytes()
            text = f"{about.st_mode:o} {hashlib.sha256(content).hexdigest()}"
            found[os.fsdecode(path)] = text
    return found


@pytest.fixture(scope="module")
def private_host(ssh_host: HostFactory) -> SshHost:
    return ssh_host(private=True)


@pytest.fixture
def attack(
    private_host: SshHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Attack]:
    home = tmp_path / "home"
    for name in (".bashrc", ".ssh/authorized_keys", "cube/mlcube.yaml", "cube/workspace/notes"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(f"mine: {name}\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    there = private_host.home / f"there-{tmp_path.name}"
    private_host.exec(["su", "mlcube", "-s", "/bin/sh", "-c", f"mkdir -p '{there}/out'"])
    yield Attack(host=private_host, there=there, home=home)
    private_host.exec(["sh", "-c", f"rm -rf /usr/local/bin/rsync /usr/local/bin/sha256sum {there}"])


NAMES = {
    "a path upwards": (
        "out/",
        "mkdir out/AA out/AA/BB; echo x >out/AABBAAevil",
        "AABB.A",
        "../../",
    ),
    "an absolute path": ("AABBAAevil", "echo x >AABBAAevil", "AABBAA", "/tmp/x"),
    "an absolute directory": (
        "AABBAAevil/",
        "mkdir AABBAAevil; echo x >AABBAAevil/a",
        "AABB",
        "/tmp",
    ),
    "a name beside": ("out/", "echo x >out/evil", "out/evil", "out-evil"),
    "only dots": ("out/", "echo x >out/AA; mkdir out/BB", "AA", ".."),
    "a directory of dots": ("out/", "mkdir out/BB; echo x >out/BB/evil", "BB", ".."),
    "another output": ("aaaaa", "echo x >aaaaa", "aaaaa", "notes"),
    "the staging directory": ("AAAAA/", "mkdir AAAAA; echo x >AAAAA/b", "AAAAA", ".././"),
    "no name": ("AA", "echo x >AA", "AA", "/."),
}


@pytest.mark.parametrize("which", NAMES)
def test_a_name_that_was_not_requested_changes_nothing(attack: Attack, which: str) -> None:
    output, script, old, new = NAMES[which]
    attack.make(script)
    attack.send_instead(
        REPLACE.replace("OLD", old)
        .replace("NEW", new.replace("/", "\\/").replace(".", "\\."))
        .replace("s/out\\/", "s/out\\/")
        if "/" not in old
        else REPLACE.replace("s/OLD/NEW/", f"s#{old}#{new}#")
    )
    before = attack.outside()
    with pytest.raises((TransferError, UnsafeContentError)):
        attack.pull(output)
    assert attack.outside() == before
    assert not Path("/tmp/xevil").exists()
    assert not Path("/tmpAAevil").exists()


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
    assert not list(attack.workspace.glob(".mlcube-remote*")) or which.startswith("inside")


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
    monkeypatch.setattr(rsync_relay, "MIN_MEMORY", 32 * 2**20)
    monkeypatch.setattr(os, "sysconf", lambda name: 4096 if name == "SC_PAGE_SIZE" else 1)
    attack.make(f"cd out; seq -f '%.0f{'n' * 200}' 150000 | xargs touch")
    before = digests(attack.home)
    with pytest.raises(TransferError, match=r"memory|status"):
        attack.pull()
    assert attack.outside() == before


def test_content_that_changes_during_the_pull(attack: Attack) -> None:
    attack.make("echo x >out/log")
    attack.install("sha256sum", 'echo more >>"$(readlink /proc/self/fd/0)"; /usr/bin/sha256sum')
    before = digests(attack.home)
    with pytest.raises(TransferError, match="'out/log' differs from the host's"):
        attack.pull()
    assert {path for path in digests(attack.home) if ".mlcube-remote-pull-" not in path} == set(
        before
    )


BAD_SUMS = {
    "wrong": 'echo "$(head -c 64 /dev/zero | tr "\\0" a)  -"',
    "too long": "head -c 3000000 /dev/zero | tr '\\0' a",
    "without end": "cat /dev/zero",
    "nothing": "exit 1",
    "zeros": "printf '\\0\\0\\0\\0'",
}


@pytest.mark.parametrize("which", BAD_SUMS)
def test_checksums_that_make_no_sense(attack: Attack, which: str) -> None:
    attack.make("echo x >out/a")
    attack.install("sha256sum", BAD_SUMS[which])
    before = attack.outside()
    with pytest.raises((TransferError, UnsafeContentError)):
        attack.pull()
    kept = {path: text for path, text in attack.outside().items() if "-pull-" not in path}
    assert kept == before


def test_checksums_that_never_end(attack: Attack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "START_S", 2.0)
    attack.make("for i in 1 2 3; do echo x >out/$i; done")
    attack.install("sha256sum", "sleep 3600")
    before = digests(attack.home)
    begin = time.monotonic()
    with pytest.raises(AbortedTransferError, match="did not compute the checksums within 2 s"):
        attack.pull()
    assert time.monotonic() - begin < 30
    assert digests(attack.home) == before


DRIPS = {
    "from the start": "while echo; do sleep 0.3; done; exit",
    "after the list of files": """/usr/bin/rsync "$@" | perl -e '
        while (sysread(STDIN, my $data, 2000)) {
            syswrite(STDOUT, $data);
            last if ($all += length($data)) > 100_000;
        }
        while (1) { sleep 1; sysread(STDIN, my $data, 1); syswrite(STDOUT, $data) }'
        exit""",
}


@pytest.mark.parametrize("which", DRIPS)
def test_an_rsync_that_drips(attack: Attack, which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_floor, "WINDOW_S", 3.0)
    attack.make("head -c 3000000 /dev/urandom >out/a")
    attack.send_instead(DRIPS[which])
    before = digests(attack.home)
    begin = time.monotonic()
    with pytest.raises(AbortedTransferError, match="slower than 256 B/s for 3 s"):
        attack.pull()
    assert time.monotonic() - begin < 60
    assert digests(attack.home) == before


def test_a_slow_link_is_left_alone(attack: Attack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the floor, for several times the window."""
    monkeypatch.setattr(rate_floor, "WINDOW_S", 1.5)
    attack.make("head -c 60000 /dev/urandom >out/a")
    attack.send_instead(
        """/usr/bin/rsync "$@" | perl -e '
        while (sysread(STDIN, my $data, 1000)) {
            syswrite(STDOUT, $data);
            select(undef, undef, undef, 0.1);
        }'
        exit"""
    )
    begin = time.monotonic()
    attack.pull(min_rate=3000.0)
    assert time.monotonic() - begin > 4
    assert (attack.workspace / "out/a").stat().st_size == 60_000


def test_many_files_do_not_fill_the_disk(attack: Attack) -> None:
    """Each fits; together they do not. The reserve is kept, and nothing stays behind."""
    attack.make("for i in $(seq 250); do head -c 1000000 /dev/zero >out/$i; done")
    before = digests(attack.home)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200m", "none", str(attack.workspace)], check=True
    )
    try:
        least = watch_free_space(attack.workspace)
        with pytest.raises(AbortedTransferError, match="disk"):
            attack.pull()
        assert least() > 30_000_000
        assert list(attack.workspace.iterdir()) == []
    finally:
        subprocess.run(["umount", str(attack.workspace)], check=True)
    assert digests(attack.home) == before


def watch_free_space(folder: Path) -> Callable[[], int]:
    """Return a function that returns the least number of free bytes since now."""
    program = f"while :; do stat -f -c %a '{folder}' || exit; sleep 0.02; done"
    watching = subprocess.Popen(["sh", "-c", program], stdout=subprocess.PIPE, text=True)

    def least() -> int:
        watching.terminate()
        text, _ = watching.communicate(timeout=10)
        return min(map(int, text.split())) * os.statvfs(folder).f_frsize

    return least
