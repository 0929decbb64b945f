# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import subprocess
from pathlib import Path

import paramiko
import pytest

from mlcube_remote.transport.known_hosts import KnownKey, format_name, parse, read_known_hosts


def _key(patterns: str) -> KnownKey:
    return KnownKey(patterns=patterns, kind="k", blob=b"", revoked=False, file="f", line=1)


@pytest.mark.parametrize(
    ("patterns", "name", "expected"),
    [
        ("gpu01", "gpu01", True),
        ("gpu01", "gpu010", False),
        ("a,gpu01,b", "gpu01", True),
        ("gpu*", "gpu01", True),
        ("gpu0?", "gpu01", True),
        ("gpu0?", "gpu0", False),
        ("GPU01", "gpu01", True),
        ("*,!gpu01", "gpu01", False),
        ("!gpu01,*", "gpu02", True),
        ("!gpu01", "gpu02", False),
        ("[gpu01]:2222", "[gpu01]:2222", True),
        ("[gpu01]:2222", "gpu01", False),
        ("[gpu*]:*", "[gpu01]:2222", True),
        ("*,![gpu01]:2222", "[gpu01]:2222", False),
        ("[gpu01]:2222", "g", False),
        ("10.0.0.1", "10x0.0.1", False),
        ("gpu[01]", "gpu0", False),
        ("|1|nonsense", "gpu01", False),
        ("|1|bm9wZQ==|***", "gpu01", False),
        ("|2|bm9wZQ==|bm9wZQ==", "gpu01", False),
    ],
)
def test_patterns_match_as_in_sshd(patterns: str, name: str, expected: bool) -> None:
    assert _key(patterns).matches(name) is expected


def test_a_name_that_ssh_keygen_hashed_is_found(
    tmp_path: Path, host_keys: dict[str, paramiko.PKey]
) -> None:
    file = tmp_path / "known_hosts"
    key = host_keys["ed25519"]
    file.write_text(f"[gpu01]:2222 {key.get_name()} {key.get_base64()}\n")
    subprocess.run(["ssh-keygen", "-H", "-f", str(file)], check=True, capture_output=True)

    (found,) = read_known_hosts([str(file)], pytest.fail)

    assert found.patterns.startswith("|1|")
    assert found.matches("[gpu01]:2222")
    assert not found.matches("gpu01")


def test_names_on_other_ports_have_brackets() -> None:
    assert format_name("GPU01.example", 22) == "gpu01.example"
    assert format_name("gpu01", 2222) == "[gpu01]:2222"


def test_only_bad_lines_are_skipped(host_keys: dict[str, paramiko.PKey]) -> None:
    good = f"gpu01 ssh-ed25519 {host_keys['ed25519'].get_base64()} a comment"
    text = "\n".join(
        [
            "# a comment",
            "",
            "garbage",
            "gpu01 ssh-ed25519 not-base64!",
            f"gpu01 ssh-rsa {host_keys['ed25519'].get_base64()}",
            f"@cert-authority *.example ssh-ed25519 {host_keys['ed25519'].get_base64()}",
            f"@strange gpu01 ssh-ed25519 {host_keys['ed25519'].get_base64()}",
            f"@revoked {good}",
            good,
        ]
    )

    keys, warnings = parse("kh", text.encode() + b"\n\xff\xfe binary\0 x\n")

    assert [(key.line, key.revoked, key.is_authority) for key in keys] == [
        (6, False, True),
        (8, True, False),
        (9, False, False),
    ]
    assert keys[2].source == "kh:9"
    assert warnings == [
        f"kh:{number}: skipped a line that is not a host key" for number in (3, 4, 5, 7, 10)
    ]


def test_each_version_of_a_file_is_reported_once(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text("garbage\n")
    notes: list[str] = []

    for _ in range(3):
        assert read_known_hosts([str(file)], notes.append) == ()

    assert notes == [f"{file}:1: skipped a line that is not a host key"]


def test_missing_files_are_empty_and_unreadable_ones_are_reported(tmp_path: Path) -> None:
    notes: list[str] = []

    assert read_known_hosts([str(tmp_path / "none"), str(tmp_path)], notes.append) == ()

    problem = "it is a directory, expected a file that keeps host keys"
    assert notes == [f"{tmp_path}: cannot be read: {problem}"]


def test_a_pipe_does_not_block_and_a_device_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    notes: list[str] = []

    assert read_known_hosts([str(tmp_path / "pipe"), str(tmp_path / "link")], notes.append) == ()

    (note,) = notes
    assert "cannot be read: it is a pipe" in note
