# SPDX-License-Identifier: Apache-2.0
"""A Kerberos realm on this machine: a KDC on a loopback port, and its principals' keys."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from tests.support.waiting import wait_for

REALM = "EXAMPLE.ORG"

_CLIENT = """[libdefaults]
default_realm = {realm}
dns_canonicalize_hostname = false
dns_lookup_kdc = false
dns_lookup_realm = false
rdns = false
udp_preference_limit = 1

[realms]
{realm} = {{
    kdc = 127.0.0.1:{port}
}}
"""
_SERVER = """[kdcdefaults]
kdc_listen = ""
kdc_tcp_listen = 127.0.0.1:{port}

[realms]
{realm} = {{
    database_name = {folder}/principal
    key_stash_file = {folder}/stash
    acl_file = {folder}/acl
}}

[logging]
default = FILE:{folder}/log
"""


def _program(name: str) -> str:
    """Return the path of a program that Debian keeps out of a user's path."""
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    assert path is not None, f"{name} is not installed; run: make test-programs"
    return path


@attrs.frozen
class Realm:
    """The realm's files, and the tickets of its user."""

    folder: Path
    port: int

    @property
    def settings(self) -> Path:
        """The krb5.conf of clients and servers."""
        return self.folder / "krb5.conf"

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            "KRB5_CONFIG": str(self.settings),
            "KRB5_KDC_PROFILE": str(self.folder / "kdc.conf"),
            "KRB5CCNAME": f"FILE:{self.folder}/tickets",
        }

    def add(self, principal: str) -> Path:
        """Add a principal; return its keytab."""
        keytab = self.folder / f"{principal.replace('/', '-')}.keytab"
        for query in (f"addprinc -randkey {principal}", f"ktadd -k {keytab} {principal}"):
            self.run("kadmin.local", "-r", REALM, "-q", query)
        return keytab

    def get_ticket(self, principal: str, *options: str) -> None:
        keytab = self.folder / f"{principal}.keytab"
        self.run("kinit", *options, "-k", "-t", str(keytab), principal)

    def run(self, program: str, *arguments: str) -> None:
        done = self._finish(program, *arguments)
        assert done.returncode == 0, done.stdout

    def has_valid_ticket(self) -> bool:
        return self._finish("klist", "-s").returncode == 0

    def _finish(self, program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [_program(program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **self.environment},
            timeout=60,
            check=False,
        )

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Run the KDC."""
        kdc = subprocess.Popen(
            [_program("krb5kdc"), "-n", "-r", REALM],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **self.environment},
        )
        try:
            wait_for(lambda: kdc.poll() is not None or self._answers())
            assert kdc.poll() is None, (self.folder / "log").read_text()
            yield
        finally:
            kdc.terminate()
            kdc.wait(60)

    def _answers(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0


@contextlib.contextmanager
def running_realm(folder: Path) -> Iterator[Realm]:
    """Make a realm in an empty folder, and run its KDC."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        realm = Realm(folder, int(free.getsockname()[1]))
    names = {"realm": REALM, "folder": folder, "port": realm.port}
    realm.settings.write_text(_CLIENT.format_map(names))
    (folder / "kdc.conf").write_text(_SERVER.format_map(names))
    realm.run("kdb5_util", "create", "-s", "-P", "secret", "-r", REALM)
    with realm.serving():
        yield realm
