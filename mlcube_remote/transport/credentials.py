# SPDX-License-Identifier: Apache-2.0
"""Secrets for logins."""

from __future__ import annotations

import attrs

from mlcube_remote.secret import Secret
from mlcube_remote.transport.questions import Answers, Inquiry


@attrs.frozen(kw_only=True)
class Credentials:
    """Secrets that the user typed before the first connection, and a way to ask for others."""

    password: Secret | None = None
    passphrase: Secret | None = None
    """For encrypted private keys."""
    answers: Answers = attrs.field(factory=Answers)
    """What the user typed later, when a host asked."""

    @property
    def can_ask(self) -> bool:
        """Whether the user can be asked."""
        return self.answers.screen is not None

    @property
    def has_any(self) -> bool:
        """Whether a question can be answered."""
        return self.password is not None or self.passphrase is not None or self.can_ask

    def answer(self, host: str, inquiry: Inquiry) -> list[Secret]:
        """Return one answer for each question of a server.

        The password that the user typed before answers what asks for a password. If the user
        cannot be asked, it also answers a single question in other words.

        Args:
            host: The inventory name of the host that the connection is for.
            inquiry: The questions.

        Raises:
            AuthenticationError: A question has no answer.
        """
        password = self.password
        is_single = len(inquiry.questions) == 1 and not self.can_ask
        found = {
            number: password
            for number, question in enumerate(inquiry.questions)
            if password is not None and (question.wants_password or is_single)
        }
        others = [each for number, each in enumerate(inquiry.questions) if number not in found]
        rest = iter(self.answers.find(host, attrs.evolve(inquiry, questions=tuple(others))))
        return [found.get(number) or next(rest) for number in range(len(inquiry.questions))]
