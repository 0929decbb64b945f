# SPDX-License-Identifier: Apache-2.0
"""The states of jobs that ``ps`` shows, for the option that filters by them."""

from __future__ import annotations

LIVE_STATES = ("preparing", "queued", "running", "stopping", "elsewhere", "unknown")
"""States of jobs that may still run."""

JOB_STATES = (
    *LIVE_STATES,
    *("succeeded", "failed", "killed", "cancelled", "lost", "not-started"),
)
"""All states, without the reasons in brackets; docs/reference/states.md describes them."""
