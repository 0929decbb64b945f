# SPDX-License-Identifier: Apache-2.0
"""Log in with a password, and with answers to the questions of a server."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import attrs
import paramiko

from mlcube_remote.errors import AuthenticationError
from mlcube_remote.inventory.endpoint import Endpoint
from mlcube_remote.secret import Secret
from mlcube_remote.transport.connect_errors import SSH_ERRORS
from mlcube_remote.transport.credentials import Credentials
from mlcube_remote.transport.questions import PATIENCE_S, Inquiry, Question

Attempt = Callable[[paramiko.Transport], list[str]]
"""Tries one method; returns the methods that the server requires in addition."""


@attrs.define
class LoginAnswers:
    """The answers for one login to one server."""

    host: str
    """Inventory name of the host that the connection is for."""
    endpoint: Endpoint
    credentials: Credentials
    _has_asked: bool = attrs.field(default=False, init=False)
    """Whether the user has answered a question of the server."""
    _required: list[str] = attrs.field(factory=list, init=False)
    """What the server requires after the last method, which it accepted."""

    @property
    def asker(self) -> str:
        """The account and server that ask."""
        port = f":{self.endpoint.port}" if self.endpoint.port != 22 else ""
        return f"{self.endpoint.user}@{self.endpoint.alias or self.endpoint.hostname}{port}"

    def methods(self) -> Iterator[tuple[str, Attempt]]:
        """Yield the methods to try, with their names; the caller stops after a success."""
        if self.credentials.password is not None:
            yield "password", self._send_password
            yield "keyboard-interactive", self._answer_questions
        elif self.credentials.can_ask:
            # As ssh(1) does: only the first of them has the server's own words.
            yield "keyboard-interactive", self._answer_questions
            if not self._has_asked or "password" in self._required:
                # Otherwise the answer was wrong, and the user has to type it only once.
                yield "password", self._send_password
            if "keyboard-interactive" in self._required:
                yield "keyboard-interactive", self._answer_questions

    def ask_passphrase(self, path: str) -> Secret | None:
        """Return the passphrase of a key file; ``None`` if the user wants to skip the key.

        Raises:
            AuthenticationError: The user gives no answer.
        """
        question = Question(text="Passphrase of this key (empty: skip it): ")
        inquiry = Inquiry(asker=path, questions=(question,))
        (secret,) = self.credentials.answers.find(self.host, inquiry)
        return secret if secret.reveal() else None

    def forget(self) -> None:
        """Do not use the answers again, because the server has refused them."""
        self.credentials.answers.forget(self.asker)

    def _send_password(self, transport: paramiko.Transport) -> list[str]:
        (password,) = self._answer("", [("Password: ", False)])
        self._required = transport.auth_password(self.endpoint.user, password, fallback=False)
        return self._required

    def _answer_questions(self, transport: paramiko.Transport) -> list[str]:
        refusals: list[AuthenticationError] = []

        def answer(title: str, about: str, prompts: list[tuple[str, bool]]) -> list[str]:
            try:
                return self._answer(f"{title}\n{about}".strip(), prompts)
            except AuthenticationError as problem:
                # This is Paramiko's thread, which ends with an error.
                refusals.append(problem)
                raise

        usual = transport.auth_timeout
        if self.credentials.can_ask:
            # The answers take the user's time, and the server may wait for a phone.
            transport.auth_timeout = PATIENCE_S
        try:
            self._required = transport.auth_interactive(self.endpoint.user, answer)
        except SSH_ERRORS as problem:
            if refusals:
                raise refusals[0] from problem
            raise
        finally:
            transport.auth_timeout = usual
        return self._required

    def _answer(self, about: str, prompts: list[tuple[str, bool]]) -> list[str]:
        questions = tuple(Question(text=text, is_shown=echo) for text, echo in prompts)
        if questions:
            self._has_asked = True
        elif about:
            self.credentials.answers.show(self.asker, about)
        inquiry = Inquiry(asker=self.asker, about=about, questions=questions)
        return [secret.reveal() for secret in self.credentials.answer(self.host, inquiry)]
