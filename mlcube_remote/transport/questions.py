# SPDX-License-Identifier: Apache-2.0
"""What logins ask the user: passwords, passphrases, one-time codes, a touch of a security key.

Each question is asked once per host and command. Passwords and passphrases are remembered in memory
for reconnects; one-time codes cannot be used again.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Protocol

import attrs

from mlcube_remote.errors import AuthenticationError
from mlcube_remote.formatting import escape_unprintable
from mlcube_remote.secret import Secret

_PASSWORD = re.compile(r"passwor[dt]|passphrase|\bPIN for\b|kennwort|mot de passe", re.IGNORECASE)
_CODE = re.compile(r"one.?time|\botp\b|code|token|oath|duo|yubikey|challenge|new ", re.IGNORECASE)
_MAX_QUOTED = 100

PATIENCE_S = 300.0
"""How long a login may take once it asks; users look for a phone, and confirm things on it."""


@attrs.frozen(kw_only=True)
class Question:
    """One question. Its text is from a server, and so may contain anything."""

    text: str
    is_shown: bool = False
    """Whether the answer is shown while the user types it."""

    @property
    def wants_password(self) -> bool:
        """Whether the answer is a password or a passphrase, which can be used again."""
        return bool(_PASSWORD.search(self.text)) and not _CODE.search(self.text)


@attrs.frozen(kw_only=True)
class Inquiry:
    """Questions that belong together."""

    asker: str
    """Who asks: ``user@host``, or a host of the inventory."""
    questions: tuple[Question, ...]
    about: str = ""
    """What the server says before its questions; any text."""
    is_over: Callable[[], bool] = lambda: False
    """Returns whether an answer would come too late."""


class Screen(Protocol):
    """Where the user is asked."""

    def ask(self, inquiry: Inquiry) -> list[Secret] | None:
        """Return one answer for each question; ``None``: the user gives none."""
        ...

    def show(self, asker: str, text: str) -> None:
        """Show a text that needs no answer."""
        ...


@attrs.define
class Answers:
    """The user's answers for one command, on all its hosts. Hosts ask one after the other."""

    screen: Screen | None = None
    """``None``: there is no terminal, so the user cannot be asked."""
    _known: dict[tuple[str, str], Secret] = attrs.field(factory=dict, init=False, repr=False)
    """Who asks, and its question → an answer that can be used again."""
    _asked: set[tuple[str, str, str]] = attrs.field(factory=set, init=False)
    """Host, who asks, and its question: each is asked once."""
    _lock: threading.RLock = attrs.field(factory=threading.RLock, init=False)

    def find(self, host: str, inquiry: Inquiry) -> list[Secret]:
        """Return one answer for each question: those that are known, or what the user types.

        Args:
            host: The inventory name of the host that the connection is for.
            inquiry: The questions, of this host or of a jump host.

        Raises:
            AuthenticationError: There is no terminal or no answer, or a code is needed again.
        """
        with self._lock:
            known = [self._known.get((inquiry.asker, each.text)) for each in inquiry.questions]
            fresh = tuple(
                question
                for question, secret in zip(inquiry.questions, known, strict=True)
                if secret is None
            )
            given = self._ask(host, attrs.evolve(inquiry, questions=fresh)) if fresh else []
            for question, secret in zip(fresh, given, strict=True):
                self._asked.add((host, inquiry.asker, question.text))
                if question.wants_password:
                    self._known[inquiry.asker, question.text] = secret
            answers = iter(given)
            return [secret or next(answers) for secret in known]

    def _ask(self, host: str, inquiry: Inquiry) -> list[Secret]:
        quoted = quote(inquiry.questions[0].text)
        if self.screen is None:
            raise AuthenticationError(
                host,
                f"{inquiry.asker} asks {quoted}, and there is no terminal",
                hint=no_terminal_hint(host),
            )
        if any((host, inquiry.asker, each.text) in self._asked for each in inquiry.questions):
            raise AuthenticationError(
                host,
                f"{inquiry.asker} asks {quoted} again; one-time codes and refused answers are not "
                "used twice; jobs that run on the host continue",
                hint=f"start the command again; mlcube-remote login {host} keeps a login for later "
                "commands",
            )
        given = self.screen.ask(inquiry)
        if given is None:
            raise AuthenticationError(
                host, f"{inquiry.asker} asks {quoted}, and got no answer", hint="try again"
            )
        return given

    def show(self, asker: str, text: str) -> None:
        """Show a text that needs no answer, such as a request to touch a security key."""
        if self.screen is not None:
            with self._lock:
                self.screen.show(asker, text)

    def forget(self, asker: str) -> None:
        """Do not use the answers again that a server has refused."""
        with self._lock:
            for known in [each for each in self._known if each[0] == asker]:
                del self._known[known]


def no_terminal_hint(host: str) -> str:
    """Return what to do about a host that asks while there is no terminal."""
    return (
        "it asks for a password or code, and there is no terminal to answer on: first run "
        f"mlcube-remote login {host} on a terminal, which later commands use"
    )


def quote(text: str) -> str:
    """Return the last line of a question in quotes, safe to print, for messages."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["a question"]
    return f"'{escape_unprintable(lines[-1])[:_MAX_QUOTED].rstrip(': ')}'"
