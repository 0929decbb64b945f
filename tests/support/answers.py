# SPDX-License-Identifier: Apache-2.0
"""A user who answers the questions of logins."""

from __future__ import annotations

import attrs

from mlcube_remote.secret import Secret
from mlcube_remote.transport.questions import Inquiry


@attrs.define
class FakeScreen:
    """Gives the answers in order, and none when they are used up."""

    answers: list[str]
    inquiries: list[Inquiry] = attrs.field(factory=list, init=False)
    shown: list[tuple[str, str]] = attrs.field(factory=list, init=False)

    def ask(self, inquiry: Inquiry) -> list[Secret] | None:
        self.inquiries.append(inquiry)
        if len(self.answers) < len(inquiry.questions):
            return None
        return [Secret(self.answers.pop(0)) for _ in inquiry.questions]

    def show(self, asker: str, text: str) -> None:
        self.shown.append((asker, text))
