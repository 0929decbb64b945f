# SPDX-License-Identifier: Apache-2.0
"""Give ``ssh`` the passwords and passphrases that the user typed.

``ssh`` starts a program for each of its questions (SSH_ASKPASS). That program gets the answer from
this process through named pipes in a private directory.
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

from mlcube_remote.secret import Secret
from mlcube_remote.transport.credentials import Credentials

_POLL_INTERVAL_MS = 200
_PASSPHRASE = re.compile(r"passphrase|PIN for", re.IGNORECASE)


@attrs.define
class Askpass:
    """Answers the questions of one login; each secret is given once for each question text."""

    _credentials: Credentials
    environment: Mapping[str, str] = attrs.field(factory=dict, init=False)
    """Variables for ``ssh``."""
    _answered: set[str] = attrs.field(factory=set, init=False)
    _stopped: threading.Event = attrs.field(factory=threading.Event, init=False)

    @classmethod
    @contextlib.contextmanager
    def create(cls, credentials: Credentials) -> Iterator[Askpass]:
        """Answer questions until the end of the block."""
        askpass = cls(credentials)
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
            text = b""
            while not self._stopped.is_set():
                if not poller.poll(_POLL_INTERVAL_MS):
                    continue
                text += os.read(question, 4096)
                first, separator, text_after = text.partition(b"\0")
                if separator:
                    text = text_after
                    os.write(answer, self._answer(first.decode("utf-8", "replace")))
        finally:
            os.close(question)
            os.close(answer)

    def _answer(self, question: str) -> bytes:
        secret = self._choose(question)
        if secret is None or question in self._answered or "\n" in secret.reveal():
            return b"n\n"
        self._answered.add(question)
        return b"y" + secret.reveal().encode() + b"\n"

    def _choose(self, question: str) -> Secret | None:
        if _PASSPHRASE.search(question):
            return self._credentials.passphrase
        return self._credentials.password
