# SPDX-License-Identifier: Apache-2.0
"""Compare the host-key check of both transports with ssh(1), for a server with several keys."""

from __future__ import annotations

import re
import subprocess
import threading
from pathlib import Path

import attrs
import paramiko
import pytest

from mlcube_remote.errors import AuthenticationError, HostKeyError
from mlcube_remote.inventory.model import Host, HostKeys
from mlcube_remote.inventory.sshconfig import CONFIG_VARIABLE
from mlcube_remote.transport.credentials import Credentials
from mlcube_remote.transport.host_keys import HostKeyCheck, fingerprint
from mlcube_remote.transport.openssh_link import open_openssh_link
from tests.support.ssh_server import Lab, Serve, SSHServer

Keys = dict[str, paramiko.PKey]

ACCEPTED, UNKNOWN, CHANGED, REVOKED = "accepted", "unknown", "changed", "revoked"

# Variant → expected result, known_hosts with {PORT} and {NAME} of a key.
VARIANTS: dict[str, tuple[str, str]] = {
    "plain": (ACCEPTED, "[127.0.0.1]:{PORT} {ed25519}"),
    "empty": (UNKNOWN, ""),
    "other port": (UNKNOWN, "[127.0.0.1]:1 {other}"),
    "changed": (CHANGED, "[127.0.0.1]:{PORT} {other}"),
    "only the second kind is known": (ACCEPTED, "[127.0.0.1]:{PORT} {ecdsa}"),
    "only rsa is known": (ACCEPTED, "[127.0.0.1]:{PORT} {rsa}"),
    "right and wrong": (ACCEPTED, "[127.0.0.1]:{PORT} {other}\n[127.0.0.1]:{PORT} {ed25519}"),
    "usual port, same key": (ACCEPTED, "127.0.0.1 {ed25519}"),
    "usual port, other key": (UNKNOWN, "127.0.0.1 {other}"),
    "pattern": (ACCEPTED, "[127.0.0.*]:* {ed25519}"),
    "negated": (UNKNOWN, "[127.0.0.1]:*,![127.0.0.1]:{PORT} {ed25519}"),
    "revoked": (REVOKED, "@revoked * {ed25519}\n[127.0.0.1]:{PORT} {ed25519}"),
    "another key revoked": (ACCEPTED, "@revoked * {other}\n[127.0.0.1]:{PORT} {ed25519}"),
    "authority": (UNKNOWN, "@cert-authority * {ed25519}"),
    "garbage": (ACCEPTED, "garbage\nx y z\n[127.0.0.1]:{PORT} {ed25519}\n@odd * {other}"),
    "no line end, other names": (ACCEPTED, "a,[127.0.0.1]:{PORT},b {ed25519} comment"),
}


def _write(lab: Lab, server: SSHServer, keys: Keys, text: str) -> None:
    lines = {name: f"{key.get_name()} {key.get_base64()}" for name, key in keys.items()}
    lab.known_hosts.write_text(text.format(PORT=server.port, **lines))


def _check_with_us(lab: Lab, server: SSHServer) -> str:
    try:
        lab.log_in(server).close()
    except HostKeyError as problem:
        return next(word for word in (UNKNOWN, CHANGED, REVOKED) if word in str(problem).lower())
    except AuthenticationError:
        return ACCEPTED
    raise AssertionError("the server accepts no key")


def _check_with_ssh(lab: Lab, server: SSHServer) -> str:
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(lab.known_hosts),
        "GlobalKnownHostsFile": "/dev/null",
        "UpdateHostKeys": "no",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
    }
    argv = ["ssh", "-F", "/dev/null", "-p", str(server.port), "-i", str(lab.identity)]
    for option in options.items():
        argv += ["-o", "=".join(option)]
    argv += ["me@127.0.0.1", "true"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    for words, result in {
        "Permission denied": ACCEPTED,
        "host key is known for": UNKNOWN,
        "REVOKED": REVOKED,
        "IDENTIFICATION HAS CHANGED": CHANGED,
    }.items():
        if words in done.stderr:
            return result
    raise AssertionError(done.stderr)


def _check_with_our_openssh(lab: Lab, server: SSHServer) -> str:
    options = {
        "Port": str(server.port),
        "User": "me",
        "UserKnownHostsFile": str(lab.known_hosts),
        "GlobalKnownHostsFile": "/dev/null",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
    }
    endpoint = lab.endpoint(server.port, alias="127.0.0.1", overrides=options)
    try:
        open_openssh_link(Host(name="h1"), endpoint, Credentials()).close()
    except HostKeyError as problem:
        return next(word for word in (UNKNOWN, CHANGED, REVOKED) if word in str(problem).lower())
    except AuthenticationError:
        return ACCEPTED
    raise AssertionError("the server accepts no key")


@pytest.mark.parametrize(("expected", "text"), VARIANTS.values(), ids=VARIANTS)
def test_the_result_is_that_of_ssh(
    lab: Lab,
    serve: Serve,
    host_keys: Keys,
    monkeypatch: pytest.MonkeyPatch,
    expected: str,
    text: str,
) -> None:
    monkeypatch.setenv(CONFIG_VARIABLE, "/dev/null")
    monkeypatch.setenv("XDG_STATE_HOME", str(lab.folder))
    server = serve(keys=[host_keys[name] for name in ("ed25519", "ecdsa", "rsa")])
    _write(lab, server, host_keys, text)

    ours = _check_with_us(lab, server)
    attempts = list(server.attempts)

    # There is no login before the key has been accepted.
    assert bool(attempts) is (expected == ACCEPTED)
    server.attempts.clear()
    with_openssh = _check_with_our_openssh(lab, server)
    assert bool(server.attempts) is (expected == ACCEPTED)
    assert {ours, with_openssh, _check_with_ssh(lab, server)} == {expected}


def test_an_unknown_key_is_reported_with_commands_to_check_and_add_it(
    lab: Lab, serve: Serve, host_keys: Keys
) -> None:
    server = serve()

    with pytest.raises(HostKeyError) as caught:
        lab.log_in(server)

    hint = caught.value.hint or ""
    shown = fingerprint(host_keys["ed25519"].asbytes())
    assert f"ssh-ed25519 {shown}, and no line for [127.0.0.1]:{server.port}" in str(caught.value)
    assert f"ssh-keyscan -p {server.port} -t ed25519 127.0.0.1 | ssh-keygen -lf -" in hint
    command = re.search(r"then add it: (echo .*)", hint)
    assert command is not None
    subprocess.run(["sh", "-c", command[1]], check=True)
    assert _check_with_us(lab, server) == ACCEPTED


@pytest.mark.parametrize("policy", HostKeys)
def test_a_changed_key_is_refused_with_any_policy(
    lab: Lab, serve: Serve, host_keys: Keys, policy: HostKeys
) -> None:
    server = serve()
    _write(lab, server, host_keys, "# first\n[127.0.0.1]:{PORT} {other}\n")
    before = lab.known_hosts.read_bytes()

    with pytest.raises(HostKeyError) as caught:
        lab.log_in(server, policy)

    text, hint = str(caught.value), caught.value.hint or ""
    assert fingerprint(host_keys["ed25519"].asbytes()) in text
    assert fingerprint(host_keys["other"].asbytes()) in text
    assert f"({lab.known_hosts}:2)" in text
    assert server.attempts == []
    assert lab.known_hosts.read_bytes() == before
    command = re.search(r"if the new key is right: (ssh-keygen .*)", hint)
    assert command is not None
    subprocess.run(["sh", "-c", command[1]], check=True, capture_output=True)
    assert _check_with_us(lab, server) == UNKNOWN


@pytest.mark.parametrize("names", ["*", "[127.0.0.1]:{PORT}", "127.0.0.1"])
def test_a_revoked_key_is_refused_even_if_new_keys_are_accepted(
    lab: Lab, serve: Serve, host_keys: Keys, names: str
) -> None:
    server = serve()
    _write(lab, server, host_keys, f"@revoked {names} {{ed25519}}\n")

    with pytest.raises(HostKeyError, match="is revoked"):
        lab.log_in(server, HostKeys.ACCEPT_NEW)
    assert server.attempts == []


def test_the_alias_has_no_port(lab: Lab, serve: Serve, host_keys: Keys) -> None:
    server = serve()
    _write(lab, server, host_keys, "cluster {ed25519}\n")

    with pytest.raises(HostKeyError, match="unknown"):
        lab.log_in(server)
    with pytest.raises(AuthenticationError):
        lab.log_in(server, host_key_alias="Cluster")


def test_global_files_are_read_too(lab: Lab, serve: Serve, host_keys: Keys) -> None:
    server = serve()
    _write(lab, server, host_keys, "[127.0.0.1]:{PORT} {ed25519}\n")
    system = str(lab.known_hosts)
    own = str(lab.folder / "own")

    with pytest.raises(AuthenticationError):
        lab.log_in(server, user_known_hosts_files=(own,), global_known_hosts_files=(system,))


def _check(file: Path, notes: list[str]) -> HostKeyCheck:
    return HostKeyCheck(
        host="h1",
        hostname="gpu01",
        port=22,
        policy=HostKeys.ACCEPT_NEW,
        user_files=(str(file),),
        note=notes.append,
    )


def test_a_new_key_is_written_and_reported_once(tmp_path: Path, host_keys: Keys) -> None:
    file = tmp_path / "new" / "known_hosts"
    key = host_keys["ed25519"]
    notes: list[str] = []

    for _ in range(2):
        _check(file, notes).verify(key)

    assert file.read_text() == f"gpu01 ssh-ed25519 {key.get_base64()}\n"
    assert file.stat().st_mode & 0o777 == 0o600
    (note,) = notes
    assert fingerprint(key.asbytes()) in note


def test_a_missing_end_of_line_is_added(tmp_path: Path, host_keys: Keys) -> None:
    file = tmp_path / "known_hosts"
    file.write_text("# mine")

    _check(file, []).verify(host_keys["ed25519"])

    assert file.read_text().startswith("# mine\ngpu01 ssh-ed25519 ")


def test_concurrent_checks_write_the_key_once(tmp_path: Path, host_keys: Keys) -> None:
    file = tmp_path / "known_hosts"
    checks = [_check(file, []) for _ in range(20)]
    threads = [
        threading.Thread(target=check.verify, args=(host_keys["ed25519"],)) for check in checks
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(file.read_text().splitlines()) == 1


def test_another_key_that_arrives_at_the_same_time_is_refused(
    tmp_path: Path, host_keys: Keys
) -> None:
    file = tmp_path / "known_hosts"
    first, second = _check(file, []), _check(file, [])
    first.verify(host_keys["ed25519"])

    with pytest.raises(HostKeyError, match="CHANGED"):
        second.verify(host_keys["other"])

    assert len(file.read_text().splitlines()) == 1


def test_a_key_that_cannot_be_written_is_refused(tmp_path: Path, host_keys: Keys) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(HostKeyError, match="could not be written to"):
        _check(tmp_path / "file" / "known_hosts", []).verify(host_keys["ed25519"])


@pytest.mark.parametrize(
    "files", [(), ("/dev/null",), ("//dev/null",), ("/tmp/../dev/null",), ("{folder}/link",)]
)
def test_a_new_key_is_unknown_if_no_file_keeps_it(
    tmp_path: Path, host_keys: Keys, files: tuple[str, ...]
) -> None:
    (tmp_path / "link").symlink_to("/dev/null")
    check = _check(tmp_path, [])
    check = attrs.evolve(check, user_files=tuple(file.format(folder=tmp_path) for file in files))

    with pytest.raises(HostKeyError, match="unknown"):
        check.verify(host_keys["ed25519"])


def test_a_file_that_becomes_a_device_before_the_key_is_written_is_refused(
    tmp_path: Path, host_keys: Keys
) -> None:
    file = tmp_path / "known_hosts"
    check = _check(file, [])
    file.symlink_to("/dev/null")

    with pytest.raises(HostKeyError, match="unknown"):
        check.verify(host_keys["ed25519"])


@pytest.mark.skipif(not Path("/proc/self/comm").exists(), reason="only Linux has such a file")
def test_a_regular_file_that_forgets_is_refused(tmp_path: Path, host_keys: Keys) -> None:
    # A regular file to stat(2), which accepts what is written and shows something else.
    file = tmp_path / "known_hosts"
    file.symlink_to("/proc/self/comm")
    name = file.read_bytes()

    try:
        with pytest.raises(HostKeyError, match=r"could not be written to .*does not keep"):
            _check(file, []).verify(host_keys["ed25519"])
    finally:
        file.write_bytes(name.rstrip(b"\n"))  # a newline would become part of the name


def test_the_first_regular_file_gets_the_new_key(tmp_path: Path, host_keys: Keys) -> None:
    file = tmp_path / "known_hosts"
    check = attrs.evolve(_check(file, []), user_files=("/dev/null", str(file)))

    check.verify(host_keys["ed25519"])

    assert file.read_text().startswith("gpu01 ssh-ed25519 ")


def test_the_hint_is_a_command_for_the_file_that_is_read(tmp_path: Path, host_keys: Keys) -> None:
    check = attrs.evolve(
        _check(tmp_path / "kh", []), policy=HostKeys.STRICT, is_check_disabled=True
    )

    with pytest.raises(HostKeyError) as caught:
        check.verify(host_keys["ed25519"])

    hint = caught.value.hint or ""
    assert f">> {tmp_path}/kh\n" in hint
    assert "`StrictHostKeyChecking accept-new` in ~/.ssh/config; the value no is not" in hint
    check = attrs.evolve(check, user_files=("/dev/null",))
    with pytest.raises(HostKeyError, match="no line for gpu01 in a file") as caught:
        check.verify(host_keys["ed25519"])
    assert "set UserKnownHostsFile in ~/.ssh/config to a file that keeps keys" in (
        caught.value.hint or ""
    )
