# SPDX-License-Identifier: Apache-2.0
"""The results of ``hosts check``."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class CheckResult:
    """The result of one check on a host."""

    name: str
    """``reachable``, ``host key``, ``login``, ``rsync``, …"""
    passed: bool
    detail: str
    hint: str | None = None


@attrs.frozen(kw_only=True)
class HostCheck:
    """All checks of one host. After the first failure, later checks are usually not made."""

    host: str
    checks: tuple[CheckResult, ...]
    exit_code: int = 0
    """Exit code that a run on the host would have."""

    @property
    def passed(self) -> bool:
        """Whether a run would work on the host."""
        return all(check.passed for check in self.checks)
