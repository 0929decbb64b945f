# SPDX-License-Identifier: Apache-2.0
"""The keys of a real agent: their order, and how messages name them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlcube_remote.transport import key_files
from tests.support.key_logins import ANY, make_key, refusal_of
from tests.support.ssh_server import Lab, Serve


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Path]:
    """Start a real agent; return its socket."""
    sock = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(sock)], stdout=subprocess.DEVNULL) as it:
        while not sock.exists():
            assert it.poll() is None
        yield sock
        it.terminate()


def _add(agent: Path, *paths: Path) -> None:
    env = {**os.environ, "SSH_AUTH_SOCK": str(agent)}
    subprocess.run(["ssh-add", "-q", *map(str, paths)], check=True, env=env, capture_output=True)


def test_configured_keys_of_the_agent_are_tried_first(lab: Lab, serve: Serve, agent: Path) -> None:
    first, second = lab.folder / "first", lab.folder / "second"
    make_key(first, "-t", "ed25519")
    server = serve(accepted=[make_key(second, "-t", "rsa", "-b", "2048")])
    _add(agent, first, second)

    lab.log_in(server, ANY, identity_agent=str(agent), identity_files=(str(second),)).close()

    assert len(server.attempts) == 1


@pytest.mark.parametrize("form", ["encrypted key", "public key"])
def test_identities_only_selects_the_agents_key_by_its_file(
    lab: Lab, serve: Serve, agent: Path, form: str
) -> None:
    accepted_key, other = lab.folder / "wanted", lab.folder / "other"
    server = serve(accepted=[make_key(accepted_key, "-t", "ed25519")])
    make_key(other, "-t", "ed25519")
    _add(agent, other, accepted_key)
    if form == "public key":
        accepted_key.unlink()
        accepted_key = accepted_key.with_name("wanted.pub")
    else:
        subprocess.run(
            ["ssh-keygen", "-q", "-p", "-P", "", "-N", "locked", "-f", str(accepted_key)],
            check=True,
            capture_output=True,
        )
        accepted_key.with_name("wanted.pub").unlink()

    lab.log_in(
        server,
        ANY,
        identity_agent=str(agent),
        identities_only=True,
        identity_files=(str(accepted_key),),
    ).close()

    assert len(server.attempts) == 1


def test_a_missing_agent_is_named_and_key_files_are_tried(lab: Lab, serve: Serve) -> None:
    refusal = refusal_of(lab, serve(), identity_agent=str(lab.folder / "gone"))

    assert f"the agent at {lab.folder / 'gone'}" in str(refusal)
    assert str(lab.identity) in str(refusal)


def test_the_agent_of_the_environment_is_used_by_default(
    lab: Lab, serve: Serve, agent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = lab.folder / "key"
    server = serve(accepted=[make_key(key, "-t", "ed25519")])
    _add(agent, key)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))

    lab.log_in(server, ANY, identity_agent=None, identity_files=()).close()
    refusal_of(lab, server, identity_agent="none", identity_files=())


@pytest.mark.parametrize("text", [b"", b"x", b"ssh-ed25519 AAAA", b"ssh-ed25519 !", b"a b c"])
def test_a_file_that_is_not_a_key_has_no_public_part(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(text)

    assert key_files.read_public(file) is None


@pytest.mark.parametrize("body", ["", "AAAA", "b3BlbnNzaC1rZXktdjEA", "b3BlbnNzaC1rZXktdjEAAAAA"])
def test_a_damaged_key_has_no_public_part(tmp_path: Path, body: str) -> None:
    file = tmp_path / "file"
    file.write_text(
        f"-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----\n"
    )

    assert key_files.read_public(file) is None


def test_a_key_of_the_agent_is_named_once(lab: Lab, serve: Serve, agent: Path) -> None:
    """Although two paths lead to its file, which is encrypted."""
    key, link = lab.folder / "key", lab.folder / "link"
    make_key(key, "-t", "ed25519")
    _add(agent, key)
    change = ("ssh-keygen", "-q", "-p", "-P", "", "-N", "locked", "-f", str(key))
    subprocess.run(change, check=True, capture_output=True)
    link.symlink_to(key)

    files = (str(key), str(link))
    refusal = refusal_of(lab, serve(), identity_agent=str(agent), identity_files=files)

    assert f"login as me refused (tried: the agent's {key})" in str(refusal)


def test_a_certificate_of_the_agent_is_named_as_such(lab: Lab, serve: Serve, agent: Path) -> None:
    key, authority = lab.folder / "key", lab.folder / "ca"
    for each in (key, authority):
        make_key(each, "-t", "ed25519")
    sign = ("ssh-keygen", "-q", "-s", str(authority), "-I", "id", "-n", "me", f"{key}.pub")
    subprocess.run(sign, check=True, capture_output=True)
    _add(agent, key)

    refusal = refusal_of(lab, serve(), identity_agent=str(agent), identity_files=())

    assert "(tried: the agent's test, the agent's certificate test)" in str(refusal)
