# SPDX-License-Identifier: Apache-2.0
"""A host takes no more than its time, and no more than its part of this machine's disk."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlcube_remote.errors import AbortedTransferError, StalledError
from mlcube_remote.files import checksums
from mlcube_remote.inventory.load import load
from mlcube_remote.transport import connect, rate_floor, reconnecting
from tests.support.hostile_pulls import Attack, attack, digests, private_host
from tests.support.hosts import engine, ssh_host

__all__ = ["attack", "engine", "private_host", "ssh_host"]


def test_checksums_that_never_end(attack: Attack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "START_S", 2.0)
    attack.make("for i in 1 2 3; do echo x >out/$i; done")
    attack.sum_instead("sleep 3600")
    before = digests(attack.home)
    begin = time.monotonic()
    with pytest.raises(AbortedTransferError, match="did not compute the checksums within 2 s"):
        attack.pull()
    assert time.monotonic() - begin < 30
    assert digests(attack.home) == before


DRIPS = {
    "from the start": "while sleep 2; do printf '\\037'; done; exit",
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
    """Above the floor, for twice the window; a busy machine may stop for two seconds."""
    monkeypatch.setattr(rate_floor, "WINDOW_S", 2.5)
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
    attack.pull(min_rate=1000.0)
    assert time.monotonic() - begin > 4
    assert (attack.workspace / "out/a").stat().st_size == 60_000


CUTS = {
    "at once": "kill -9 -1; sleep 5; exit",
    "after some bytes": "head -c 3000 /dev/zero; sleep 0.5; kill -9 -1; sleep 5; exit",
    "after all bytes": 'exec 3<&0; /usr/bin/rsync "$@" <&3 & sleep 2; kill -9 -1; sleep 5; exit',
}


@pytest.mark.parametrize("which", CUTS)
def test_a_host_that_accepts_each_login_and_cuts_each_pull(
    attack: Attack, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconnecting, "_MAX_CUTS", 4)
    monkeypatch.setattr(reconnecting, "_LONGEST_DELAY_S", 0.5)
    attack.make("head -c 3000000 /dev/urandom >out/a")
    attack.send_instead(CUTS[which])
    before = attack.outside()
    begin = time.monotonic()
    with pytest.raises(StalledError, match="the connection broke 4 times without progress"):
        attack.pull()
    assert time.monotonic() - begin < 60
    assert attack.outside() == before


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


def test_nothing_is_written_after_a_transfer_was_ended(attack: Attack, tmp_path: Path) -> None:
    """rsync has two processes here; the one that writes must end, too."""
    attack.make("head -c 50000000 /dev/zero >out/a")
    attack.send_instead(
        """/usr/bin/rsync "$@" | perl -e '
        while (sysread(STDIN, my $data, 20_000)) {
            syswrite(STDOUT, $data);
            select(undef, undef, undef, 0.02);
        }'
        exit"""
    )
    folder = tmp_path / "room"
    folder.mkdir()

    def size() -> int:
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    def watch() -> None:
        if size() > 500_000:
            raise AbortedTransferError(attack.host.name, "enough")

    inventory = load(attack.host.inventory)
    with contextlib.closing(connect(inventory.hosts[attack.host.name], inventory)) as connection:
        with pytest.raises(AbortedTransferError, match="enough"):
            connection.rsync(["-r", f"host:{attack.there}/out/", f"{folder}/"], watch=watch)
        written = size()
        time.sleep(1.5)
        assert size() == written < 5_000_000
        # The connection still works.
        assert connection.call("mlcr_print_kind", "/etc").text == "d\n"


def watch_free_space(folder: Path) -> Callable[[], int]:
    """Return a function that returns the least number of free bytes since now."""
    program = f"while :; do stat -f -c %a '{folder}' || exit; sleep 0.02; done"
    watching = subprocess.Popen(["sh", "-c", program], stdout=subprocess.PIPE, text=True)

    def least() -> int:
        watching.terminate()
        text, _ = watching.communicate(timeout=10)
        return min(map(int, text.split())) * os.statvfs(folder).f_frsize

    return least
