# SPDX-License-Identifier: Apache-2.0
"""Log in with the system's ``ssh`` as a control master, and open sessions on it."""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import attrs

from mlcube_remote.errors import ConnectError, HostUnfitError, UnreachableError, UsageError
from mlcube_remote.inventory.endpoint import Endpoint
from mlcube_remote.inventory.model import Host
from mlcube_remote.transport import kept_logins
from mlcube_remote.transport.askpass import Askpass
from mlcube_remote.transport.attempts import TransientConnectError, retry_transient
from mlcube_remote.transport.control_directory import control_directory
from mlcube_remote.transport.credentials import Credentials
from mlcube_remote.transport.kept_logins import KeptLogin
from mlcube_remote.transport.link import SessionRefusedError, connection_lost
from mlcube_remote.transport.login_limiter import limiter_for
from mlcube_remote.transport.mux import (
    MuxClient,
    MuxError,
    MuxRefusedError,
    end_master,
    find_master,
)
from mlcube_remote.transport.mux_session import (
    MuxSession,
    attach_mux_session,
    open_mux_session,
)
from mlcube_remote.transport.openssh_command import PERSIST_S, master_command
from mlcube_remote.transport.openssh_errors import explain_login
from mlcube_remote.transport.questions import PATIENCE_S
from mlcube_remote.transport.standard_streams import StandardStreams

_LOGIN_TIMEOUTS = 4
"""A login may take this many times the timeout of one step, for each hop."""

_END_TIMEOUT_S = 3.0
_MAX_MESSAGES = 64 * 1024


@attrs.define
class OpenSSHLink:
    """See :class:`mlcube_remote.transport.link.Link`."""

    host: str
    control_path: str
    pid: int
    """The control master."""
    is_own: bool
    """Whether this connection started the master, and so ends it."""
    _sessions: list[MuxSession] = attrs.field(factory=list, init=False)
    """The sessions that may be open."""
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def open_session(
        self, command: str, timeout: float, terminal: StandardStreams | None = None
    ) -> MuxSession:
        """See :meth:`Link.open_session <mlcube_remote.transport.link.Link.open_session>`."""
        try:
            client = MuxClient.connect(self.control_path)
        except MuxError as problem:
            raise connection_lost(self.host) from problem
        try:
            client.sock.settimeout(timeout)
            if terminal is None:
                session = open_mux_session(client, command, self.is_active)
            else:
                session = attach_mux_session(
                    client, command, self.is_active, terminal, self._resize
                )
        except MuxRefusedError as problem:
            client.close()
            if "denied" in str(problem).lower():
                raise HostUnfitError(
                    self.host,
                    f"the control master of ssh refused a session ({problem})",
                    hint="ControlMaster must not be ask or autoask in ~/.ssh/config",
                ) from problem
            raise SessionRefusedError(str(problem)) from problem
        except (MuxError, OSError) as problem:
            client.close()
            raise connection_lost(self.host) from problem
        with self._lock:
            self._sessions = [each for each in self._sessions if not each.is_released]
            self._sessions.append(session)
        return session

    def is_active(self) -> bool:
        """Return whether the master answers."""
        return find_master(self.control_path) is not None

    def _resize(self) -> None:
        """Let the master read the sizes of its terminals again, also of one in the background."""
        # The id of the process that answers now: the one of the login may be another program's.
        pid = find_master(self.control_path)
        if pid is not None:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGWINCH)

    def close(self) -> None:
        """End the sessions; and the master, if this connection started it."""
        with self._lock:
            sessions, self._sessions = self._sessions, []
        for session in sessions:
            session.close()
        if not self.is_own:
            kept_logins.touch(self.control_path)
            return
        end_master(self.control_path)
        # A master removes its socket when it ends.
        deadline = time.monotonic() + _END_TIMEOUT_S
        while os.path.exists(self.control_path):
            if time.monotonic() > deadline:
                self._kill()
                return
            time.sleep(0.005)

    def _kill(self) -> None:
        """End a master that does not answer: only the process that this connection started."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        Path(self.control_path).unlink(missing_ok=True)


def open_openssh_link(
    host: Host,
    endpoint: Endpoint,
    credentials: Credentials,
    note: Callable[[str], None] = lambda _: None,
) -> OpenSSHLink:
    """Log in with ``ssh``, or use a control master that is up already.

    That is the one of ``mlcube-remote login``, or the one that the user's ssh_config keeps.

    Args:
        host: The host.
        endpoint: Its address and login settings.
        credentials: Secrets that the user typed.
        note: Called with lines for the user.

    Raises:
        ConnectError: The connection or the login failed.
        UsageError: There is no ``ssh`` on this machine.
    """
    for path in (kept_logins.find(endpoint, note), endpoint.control_path):
        if path is not None and (pid := find_master(path)) is not None:
            return OpenSSHLink(host.name, path, pid, is_own=False)
    path, seconds = _new_path(host), PERSIST_S
    open_once = partial(_open_once, host, endpoint, credentials, path, seconds)
    return retry_transient(partial(_open_limited, endpoint, open_once))


def keep_login(
    host: Host, endpoint: Endpoint, credentials: Credentials, idle_s: float
) -> KeptLogin:
    """Log in for later commands.

    Args:
        host: The host.
        endpoint: Its address and login settings.
        credentials: Secrets that the user typed.
        idle_s: Seconds without use after which the login ends.

    Raises:
        ConnectError: The connection or the login failed.
        UsageError: There is no ``ssh`` on this machine.
    """
    try:
        path = kept_logins.login_path(endpoint)
    except OSError as problem:
        raise _no_place(host, problem) from problem
    # Without a record it would be neither listed nor ended.
    end_master(path)
    kept_logins.remove(path)
    open_once = partial(_open_once, host, endpoint, credentials, path, math.ceil(idle_s))
    link = retry_transient(partial(_open_limited, endpoint, open_once))
    try:
        return kept_logins.record(host.name, endpoint, path, link.pid, idle_s)
    except OSError as problem:
        link.close()
        raise _no_place(host, problem) from problem


def _new_path(host: Host) -> str:
    try:
        return str(control_directory() / secrets.token_hex(8))
    except OSError as problem:
        raise _no_place(host, problem) from problem


def _no_place(host: Host, problem: OSError) -> ConnectError:
    return ConnectError(
        host.name, f"no place for the socket of ssh: {problem}", hint="set XDG_STATE_HOME"
    )


def _open_limited(endpoint: Endpoint, open_once: Callable[[], OpenSSHLink]) -> OpenSSHLink:
    first = (*endpoint.proxy_jump, endpoint)[0]
    limiter = limiter_for(first.hostname, first.port)
    with limiter.slot():
        try:
            return open_once()
        except TransientConnectError as problem:
            if problem.is_overload:
                limiter.reduce()
            raise


def _open_once(
    host: Host, endpoint: Endpoint, credentials: Credentials, control_path: str, persist_s: int
) -> OpenSSHLink:
    log = Path(f"{control_path}.log")
    command = master_command(
        endpoint,
        control_path,
        str(log),
        keepalive=host.keepalive,
        may_ask=credentials.has_any,
        persist_s=persist_s,
    )
    try:
        run_login(host.name, endpoint, command, log, credentials)
    finally:
        log.unlink(missing_ok=True)
    pid = find_master(control_path)
    if pid is None:
        raise ConnectError(
            host.name,
            "ssh logged in, but its control master does not answer",
            hint=f"see whether ssh keeps running: ssh -v {endpoint.alias}",
        )
    return OpenSSHLink(host.name, control_path, pid, is_own=True)


def run_login(
    host: str, endpoint: Endpoint, command: list[str], log: Path, credentials: Credentials
) -> None:
    """Run an ``ssh`` that goes to the background after the login, with its messages in a file.

    Raises:
        ConnectError: The connection or the login failed.
        TransientConnectError: It failed, and another attempt may not.
        UsageError: There is no ``ssh`` on this machine.
    """
    seconds = _LOGIN_TIMEOUTS * endpoint.connect_timeout * (1 + len(endpoint.proxy_jump))
    # A file, not a pipe: the jump hosts' ssh keeps its end open.
    with (
        open(log, "ab", opener=_open_private) as messages,
        Askpass.create(host, credentials) as askpass,
    ):
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=messages,
                env={**os.environ, **askpass.environment},
                # Ctrl-C on the terminal must not end the connection.
                start_new_session=True,
            )
        except FileNotFoundError as problem:
            raise UsageError(
                "ssh was not found on this machine",
                hint="install it (Debian, Ubuntu: apt-get install openssh-client), or set "
                "`transport: paramiko` for the host in hosts.yaml",
            ) from problem
        try:
            code = _wait(process, seconds, askpass)
        except subprocess.TimeoutExpired as problem:
            raise _no_answer(host, endpoint, seconds, _read(log)) from problem
        finally:
            if process.poll() is None:
                _kill_group(process)
        if code != 0:
            raise _explain(host, endpoint, _read(log), askpass)


def _wait(process: subprocess.Popen[bytes], seconds: float, askpass: Askpass) -> int:
    """Wait for the end of the login; it takes longer if the user has to do something.

    Raises:
        subprocess.TimeoutExpired: It takes too long.
    """
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        if not askpass.has_asked:
            raise
    return process.wait(max(PATIENCE_S - seconds, 0))


def _explain(host: str, endpoint: Endpoint, messages: str, askpass: Askpass) -> Exception:
    """Return the error for a login that failed."""
    if askpass.problem is not None:
        return askpass.problem
    problem = explain_login(host, endpoint, messages)
    if not askpass.has_asked:
        return problem
    askpass.forget()
    # Another attempt would ask the user again.
    return problem.error if isinstance(problem, TransientConnectError) else problem


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_EXCL, 0o600)


def _read(log: Path) -> str:
    with log.open("rb") as messages:
        return messages.read(_MAX_MESSAGES).decode("utf-8", "replace")


def _no_answer(host: str, endpoint: Endpoint, seconds: float, stderr: str) -> Exception:
    explained = explain_login(host, endpoint, stderr) if stderr.strip() else None
    if isinstance(explained, (UnreachableError, TransientConnectError)):
        return explained
    return UnreachableError(
        host,
        f"{endpoint.hostname} did not answer the login within {seconds:g} s",
        hint="its sshd is overloaded, or waits for a name server or directory; connect_timeout "
        "sets how long to wait",
    )
