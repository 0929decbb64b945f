# SPDX-License-Identifier: Apache-2.0
"""Keys and certificates that are damaged or excluded are reported, and do not stop the others."""

from __future__ import annotations

import base64
import contextlib
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlcube_remote.errors import AuthenticationError
from mlcube_remote.inventory.model import HostKeys
from mlcube_remote.transport import key_files
from tests.support.ssh_server import Lab, Serve, SSHServer


def _refusal(lab: Lab, server: SSHServer, **more: object) -> AuthenticationError:
    with pytest.raises(AuthenticationError) as caught:
        lab.log_in(server, HostKeys.ACCEPT_NEW, **more)
    return caught.value


@pytest.mark.parametrize("text", [b"", b"garbage", b"ssh-ed25519-cert-v01@openssh.com AAAA", None])
def test_a_damaged_certificate_is_one_warning_and_the_key_logs_in(
    lab: Lab, serve: Serve, text: bytes | None
) -> None:
    certificate = lab.folder / "id_client-cert.pub"
    if text is None:
        # Opening it would wait for a writer.
        os.mkfifo(certificate)
    else:
        certificate.write_bytes(text)
    server = serve(accepted=[lab.client_key.asbytes()])

    for _ in range(2):
        lab.log_in(server, HostKeys.ACCEPT_NEW).close()

    warnings = [note for note in lab.notes if "not used" in note]
    assert len(warnings) == 1
    assert warnings[0].startswith(f"{certificate}: not used: ")


def test_a_key_that_others_can_read_is_not_used(lab: Lab, serve: Serve) -> None:
    lab.identity.chmod(0o644)

    refusal = _refusal(lab, serve(accepted=[lab.client_key.asbytes()]))

    assert f"others can read it (mode 0644); run: chmod 600 {lab.identity}" in str(refusal)


def test_methods_that_ssh_config_switches_off_are_not_tried(lab: Lab, serve: Serve) -> None:
    server = serve(accepted=[lab.client_key.asbytes()])

    refusal = _refusal(lab, server, disabled_methods=frozenset({"publickey"}))

    assert "no usable key" in str(refusal)
    assert server.attempts == ["none"]


def test_keys_that_ssh_config_excludes_are_not_tried(lab: Lab, serve: Serve) -> None:
    algorithms = {"pubkeyacceptedalgorithms": ("rsa-sha2-512",)}

    refusal = _refusal(lab, serve(), algorithms=algorithms)

    assert f"{lab.identity} (excluded by PubkeyAcceptedAlgorithms)" in str(refusal)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_damaged_key_file_is_unusable_and_never_a_crash(lab: Lab, data: st.DataObject) -> None:
    original = lab.identity.read_bytes()
    text = bytearray(base64.b64decode(b"".join(original.splitlines()[1:-1])))
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    body = base64.b64encode(bytes(text[: data.draw(st.integers(1, len(text)))]))
    damaged = lab.folder / "damaged"
    damaged.write_bytes(
        b"-----BEGIN OPENSSH PRIVATE KEY-----\n" + body + b"\n-----END OPENSSH PRIVATE KEY-----\n"
    )
    damaged.chmod(0o600)

    with contextlib.suppress(key_files.UnusableKeyError):
        key_files.load(damaged, None)
    key_files.read_public(damaged)
    key_files.describe_foreign(damaged)
