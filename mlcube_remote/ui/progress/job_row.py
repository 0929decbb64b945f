# SPDX-License-Identifier: Apache-2.0
"""One job of a run as one line on a terminal."""

from __future__ import annotations

from collections.abc import Iterable

import attrs
from rich.text import Text

from mlcube_remote.events.model import (
    Event,
    JobFinished,
    JobRetried,
    Stage,
    StageFinished,
    StageProgress,
    StageStarted,
)
from mlcube_remote.events.outcome import OPEN, Status
from mlcube_remote.ui.errors import failure_reason
from mlcube_remote.ui.text import one_line

MAX_LABEL = 24
"""Columns of a job's label."""

_MIN_DETAIL = 24
"""Columns that a stage's detail gets before finished stages are shown."""


@attrs.frozen
class JobRow:
    """The state of one job as a terminal shows it; immutable, so that drawing needs no lock."""

    label: str
    stage: Stage | None = None
    """The current stage; ``None``: waiting, between two stages, or finished."""
    last_stage: Stage | None = None
    """The last stage that the job entered."""
    task: str | None = None
    detail: str = ""
    """The progress of the current stage."""
    since: float = 0.0
    """Time on the monotonic clock when the stage started, or when the last one ended."""
    done: tuple[str, ...] = ()
    """Finished stages with their seconds."""
    result: str = ""
    """The final status; empty while the job is not finished."""
    reason: str = ""
    """Why the job failed."""

    @property
    def failed(self) -> bool:
        """Whether the job has ended without success."""
        return self.result not in {"", *(status.value for status in (Status.SUCCEEDED, *OPEN))}

    def render(self, now: float, width: int) -> Text:
        """Return the finished stages and the current one.

        Args:
            now: Time on the monotonic clock.
            width: Columns of the terminal that are free. The oldest finished stages are omitted if
                the current stage would not fit otherwise.
        """
        if self.result:
            done = "  ".join(self.done)
            return Text(f"{self.result}  {done}", style="red" if self.failed else "")
        if self.stage is None:
            return Text("  ".join(self.done) or "waiting", style="dim")
        current = self.render_current(now)
        free = width - len(current) + max(len(one_line(self.detail)) - _MIN_DETAIL, 0)
        done_cells = [f"{item}  " for item in self.done]
        while done_cells and sum(map(len, done_cells)) > free:
            del done_cells[0]
        return Text("".join(done_cells), style="dim").append_text(current)

    def render_current(self, now: float) -> Text:
        """Return the current stage, its seconds and its progress.

        Between two stages, while the client queries the host, return the seconds since the last
        stage: queries of a busy host are slow.
        """
        if self.stage is None:
            last = self.last_stage
            after = f"after {last.value} {now - self.since:.0f}s" if last else ""
            return Text(after, style="bold")
        name = f"{self.stage.value} {self.task}" if self.task else self.stage.value
        text = Text(f"{name} {now - self.since:.0f}s", style="bold")
        return text.append(f"  {one_line(self.detail)}" if self.detail else "", style="not bold")


def apply_event(row: JobRow, event: Event, now: float) -> JobRow:
    """Return the row of a job after an event.

    Args:
        row: The row before the event.
        event: An event of this job.
        now: Time on the monotonic clock.
    """
    if isinstance(event, StageStarted):
        return attrs.evolve(
            row,
            label=event.label,
            stage=event.stage,
            last_stage=event.stage,
            task=event.task,
            detail="",
            since=now,
        )
    if isinstance(event, StageProgress):
        return attrs.evolve(row, detail=event.detail)
    if isinstance(event, StageFinished):
        finished = f"{event.task or event.stage.value} {event.seconds:.1f}s"
        return attrs.evolve(row, stage=None, done=(*row.done, finished), since=now)
    if isinstance(event, JobFinished):
        result, reason = event.outcome.status.value, failure_reason(event.outcome)
        return attrs.evolve(row, label=event.label, stage=None, result=result, reason=reason)
    if isinstance(event, JobRetried):
        return attrs.evolve(row, label=event.name, stage=None, last_stage=None, detail="", done=())
    return row


def label_width(rows: Iterable[JobRow]) -> int:
    """Return the columns that the labels of these jobs need, at most :data:`MAX_LABEL`."""
    return min(max(len(row.label) for row in rows), MAX_LABEL)
