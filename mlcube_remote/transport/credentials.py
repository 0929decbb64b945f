# SPDX-License-Identifier: Apache-2.0
"""Secrets for logins."""

from __future__ import annotations

import attrs

from mlcube_remote.secret import Secret


@attrs.frozen(kw_only=True)
class Credentials:
    """Secrets that the user typed before the first connection."""

    password: Secret | None = None
    passphrase: Secret | None = None
    """For encrypted private keys."""

    @property
    def has_any(self) -> bool:
        """Whether the user typed a secret."""
        return self.password is not None or self.passphrase is not None
