# SPDX-License-Identifier: Apache-2.0
"""One job of a run on a terminal, in a line."""

from __future__ import annotations

import attrs
from rich.text import Text

from mlcube_remote.events.model import Stage
from mlcube_remote.events.outcome import JobOutcome, Status
from mlcube_remote.ui.text import one_line

_DETAIL = 24
"""Columns of how far a stage is that what was done before must not take."""


@attrs.frozen
class JobLine:
    """What is known of one job; replaced as a whole, so that drawing needs no lock."""

    label: str
    stage: Stage | None = None
    reached: Stage | None = None
    """The last stage that it came to."""
    task: str | None = None
    detail: str = ""
    since: float = 0.0
    """When its stage began, or the last one ended, on the monotonic clock."""
    done: tuple[str, ...] = ()
    result: str = ""
    reason: str = ""
    """Why it did not succeed."""

    @property
    def failed(self) -> bool:
        """Whether it is over, and not well."""
        return self.result not in {"", Status.SUCCEEDED.value, Status.RUNNING.value}

    def state(self, now: float, width: int) -> Text:
        """Return what it does, for how long, and what it has done.

        Of what it has done the first is left out where ``width`` columns would not show the rest.
        """
        if self.result:
            done = "  ".join(self.done)
            return Text(f"{self.result}  {done}", style="red" if self.failed else "")
        if self.stage is None:
            return Text("  ".join(self.done) or "waiting", style="dim")
        doing = self.at_work(now)
        room = width - len(doing) + max(len(one_line(self.detail)) - _DETAIL, 0)
        before = [f"{item}  " for item in self.done]
        while before and sum(map(len, before)) > room:
            del before[0]
        return Text("".join(before), style="dim").append_text(doing)

    def at_work(self, now: float) -> Text:
        """Return its stage, for how long it has been in it, and how far that is.

        Between two stages hosts are asked things, which takes long where they are busy.
        """
        if self.stage is None:
            done = f"after {self.reached.value} {now - self.since:.0f}s" if self.reached else ""
            return Text(done, style="bold")
        name = f"{self.stage.value} {self.task}" if self.task else self.stage.value
        text = Text(f"{name} {now - self.since:.0f}s", style="bold")
        return text.append(f"  {one_line(self.detail)}" if self.detail else "", style="not bold")


def why(outcome: JobOutcome) -> str:
    """Return why a job did not succeed, in a few words."""
    if outcome.error is not None:
        return getattr(outcome.error, "reason", outcome.error.message)
    for task in outcome.tasks:
        if task.status is not Status.SUCCEEDED:
            return f"{task.task}: {task.reason or f'exit code {task.exit_code}'}"
    return ""
