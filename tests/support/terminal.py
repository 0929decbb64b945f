# SPDX-License-Identifier: Apache-2.0
"""What a terminal may get from a hostile host."""

from __future__ import annotations


def require_text(shown: bytes) -> None:
    """Require that a terminal would only print it."""
    assert len(shown) < 1_000_000
    control = {byte for byte in shown if byte < 32} - {ord("\n"), ord("\t")}
    assert not control, (control, shown[:2000])
