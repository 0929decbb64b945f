# SPDX-License-Identifier: Apache-2.0
"""Pass the questions of ``ssh`` on to the user, and the answers to ``ssh``.

``ssh`` starts a program for each of its questions (SSH_ASKPASS). That program gets the answer from
this process through named pipes in a private directory. ``ssh`` does not tell it whether an answer
may be shown, so none is.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import shlex
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from mlcube_remote.errors import AuthenticationError
from mlcube_remote.secret import Secret
from mlcube_remote.transport.credentials import Credentials
from mlcube_remote.transport.questions import Inquiry, Question

_POLL_INTERVAL_MS = 200
_MAX_TEXT = 64 * 1024
_OF_A_KEY = re.compile(r"Enter (passphrase|PIN) for ")
"""ssh's own questions about a key. Those of a server start with ``(user@host)``."""


@attrs.define
class Askpass:
    """Answers the questions of one login; each secret is given once for each question text."""

    _host: str
    _credentials: Credentials
    environment: Mapping[str, str] = attrs.field(factory=dict, init=False)
    """Variables for ``ssh``."""
    has_asked: bool = attrs.field(default=False, init=False)
    """Whether ``ssh`` has asked something, so that the login takes the user's time."""
    problem: AuthenticationError | None = attrs.field(default=None, init=False)
    """Why a question was not answered."""
    _answered: set[str] = attrs.field(factory=set, init=False)
    _stopped: threading.Event = attrs.field(factory=threading.Event, init=False)

    @classmethod
    @contextlib.contextmanager
    def create(cls, host: str, credentials: Credentials) -> Iterator[Askpass]:
        """Answer questions until the end of the block.

        Args:
            host: Inventory name of the host that the connection is for.
            credentials: The answers that are known, and a way to ask for others.
        """
        askpass = cls(host, credentials)
        if not credentials.has_any:
            yield askpass
            return
        with tempfile.TemporaryDirectory(prefix="mlcube-remote-") as name:
            folder = Path(name)
            for pipe in ("question", "answer"):
                os.mkfifo(folder / pipe, 0o600)
            program = folder / "askpass"
            script = Path(__file__).with_name("askpass.sh")
            program.write_text(f'#!/bin/sh\nexec sh {shlex.join([str(script), name])} "$@"\n')
            program.chmod(0o700)
            askpass.environment = {
                "SSH_ASKPASS": str(program),
                "SSH_ASKPASS_REQUIRE": "force",
                # Older versions of ssh ask this way only if there is a display.
                "DISPLAY": os.environ.get("DISPLAY", ":0"),
            }
            thread = threading.Thread(target=askpass._serve, args=(folder,), daemon=True)
            thread.start()
            try:
                yield askpass
            finally:
                askpass._stopped.set()
                thread.join()

    def _serve(self, folder: Path) -> None:
        # Read and write: opening a pipe for one of them waits for the other side.
        question = os.open(folder / "question", os.O_RDWR | os.O_NONBLOCK)
        answer = os.open(folder / "answer", os.O_RDWR | os.O_NONBLOCK)
        try:
            poller = select.poll()
            poller.register(question, select.POLLIN)
            data = b""
            while not self._stopped.is_set():
                if not poller.poll(_POLL_INTERVAL_MS):
                    continue
                data = (data + os.read(question, 4096))[-_MAX_TEXT:]
                while data.count(b"\0") >= 2:
                    kind, text, data = data.split(b"\0", 2)
                    reply = self._reply(kind, text.decode("utf-8", "replace"))
                    if reply is not None:
                        os.write(answer, reply)
        finally:
            os.close(question)
            os.close(answer)

    def _reply(self, kind: bytes, text: str) -> bytes | None:
        """Return the line for the program; ``None`` if it waits for none."""
        self.has_asked = True
        if kind == b"none":
            self._credentials.answers.show(self._host, text)
            return None
        # ssh asks for a confirmation only if it would use something that was not asked for.
        secret = self._find(text) if kind != b"confirm" else None
        if secret is None or text in self._answered or "\n" in secret.reveal():
            return b"n\n"
        self._answered.add(text)
        return b"y" + secret.reveal().encode() + b"\n"

    def _find(self, text: str) -> Secret | None:
        is_of_key = bool(_OF_A_KEY.match(text))
        if is_of_key and self._credentials.passphrase is not None:
            return self._credentials.passphrase
        inquiry = Inquiry(
            # The keys are the same for all hosts, so their passphrases are asked once.
            asker="ssh" if is_of_key else self._host,
            questions=(Question(text=text),),
            is_over=self._stopped.is_set,
        )
        try:
            if is_of_key:
                (secret,) = self._credentials.answers.find(self._host, inquiry)
            else:
                (secret,) = self._credentials.answer(self._host, inquiry)
        except AuthenticationError as problem:
            self.problem = problem
            return None
        return secret

    def forget(self) -> None:
        """Do not use the answers again, because the server has refused them."""
        self._credentials.answers.forget(self._host)
