# SPDX-License-Identifier: Apache-2.0
"""One job of a run as one line on a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable

import attrs
from rich.text import Text

from mlcube_remote.events.model import (
    ConnectionLost,
    ConnectionRestored,
    Event,
    JobFinished,
    JobQueued,
    JobRetried,
    Stage,
    StageFinished,
    StageProgress,
    StageStarted,
    TrialStarted,
)
from mlcube_remote.events.outcome import OPEN, Status
from mlcube_remote.ui.errors import failure_reason
from mlcube_remote.ui.text import one_line

MAX_LABEL = 24
"""Columns of a job's label."""

_MAX_PARAMETERS = 200
"""Characters of a sweep point that are kept: more than a terminal shows."""

MIN_DETAIL = 24
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
    """The unfinished line of the task, such as a progress bar."""
    progress: str = ""
    """The progress of the current stage."""
    lost: str = ""
    """Why there is no connection to the host; empty if there is one."""
    retry_at: float = 0.0
    """Time on the monotonic clock of the next attempt to connect again."""
    queued: str = ""
    """Why it waits in the queue of its cluster; empty if it does not."""
    parameters: str = ""
    """The sweep point: ``lr=0.1 seed=2``."""
    began: float | None = None
    """Time on the monotonic clock when the first stage started, or the first one after the queue;
    ``None``: none has."""
    seconds: float | None = None
    """Duration of the job, if its tasks have run to their end."""
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
        if self.stage is None and not self.queued:
            return Text("  ".join(self.done) or "waiting", style="dim")
        current = self.render_current(now)
        # An unfinished line of a task may be cut; what this program says is short.
        free = width - len(current) + max(len(one_line(self.detail)) - MIN_DETAIL, 0)
        done_cells = [f"{item}  " for item in self.done]
        while done_cells and sum(map(len, done_cells)) > free:
            del done_cells[0]
        return Text("".join(done_cells), style="dim").append_text(current)

    def render_current(self, now: float) -> Text:
        """Return the current stage, its seconds and its progress.

        Between two stages, while the client queries the host, return the seconds since the last
        stage: queries of a busy host are slow.
        """
        if self.queued:
            text = Text(f"queued {now - self.since:.0f}s", style="bold")
            about = self._render_lost(now) if self.lost else one_line(self.queued)
            return text.append(f"  {about}", style="not bold yellow" if self.lost else "not bold")
        if self.stage is None:
            last = self.last_stage
            after = f"after {last.value} {now - self.since:.0f}s" if last else ""
            return Text(after, style="bold")
        name = f"{self.stage.value} {self.task}" if self.task else self.stage.value
        text = Text(f"{name} {now - self.since:.0f}s", style="bold")
        if self.lost:
            return text.append(f"  {self._render_lost(now)}", style="not bold yellow")
        detail = one_line(self.detail or self.progress)
        return text.append(f"  {detail}" if detail else "", style="not bold")

    def _render_lost(self, now: float) -> str:
        seconds = math.ceil(self.retry_at - now)
        what = f"retry in {seconds}s" if seconds > 0 else "connecting again"
        return f"no connection, {what} ({one_line(self.lost)})"


def apply_event(row: JobRow, event: Event, now: float) -> JobRow:
    """Return the row of a job after an event.

    Args:
        row: The row before the event.
        event: An event of this job.
        now: Time on the monotonic clock.
    """
    if isinstance(event, TrialStarted):
        words = (f"{name}={value}" for name, value in event.parameters.items())
        text = one_line(" ".join(words)[:_MAX_PARAMETERS])
        return attrs.evolve(row, label=event.label, parameters=text)
    if isinstance(event, StageStarted):
        return attrs.evolve(
            row,
            label=event.label,
            stage=event.stage,
            last_stage=event.stage,
            task=event.task,
            detail="",
            progress="",
            since=now,
            began=now if row.began is None or row.queued else row.began,
            queued="",
        )
    if isinstance(event, StageProgress):
        return attrs.evolve(row, progress=event.detail)
    if isinstance(event, JobQueued):
        return attrs.evolve(row, queued=event.reason, since=row.since if row.queued else now)
    if isinstance(event, ConnectionLost):
        return attrs.evolve(row, lost=event.reason, retry_at=now + event.retry_in)
    if isinstance(event, ConnectionRestored):
        return attrs.evolve(row, lost="")
    if isinstance(event, StageFinished):
        return attrs.evolve(row, stage=None, done=_done(row, event), since=now)
    if isinstance(event, JobFinished):
        return _finish(row, event, now)
    if isinstance(event, JobRetried):
        return JobRow(event.name)
    return row


def _done(row: JobRow, event: StageFinished) -> tuple[str, ...]:
    """Return the finished stages after another one; a preparation that is repeated counts once."""
    name = event.task or event.stage.value
    is_preparation = event.stage in {Stage.CONNECT, Stage.SYNC, Stage.CONFIGURE}
    others = [each for each in row.done if not (is_preparation and each.startswith(f"{name} "))]
    return (*others, f"{name} {event.seconds:.1f}s")


def _finish(row: JobRow, event: JobFinished, now: float) -> JobRow:
    status = event.outcome.status
    is_whole = row.began is not None and status in {Status.SUCCEEDED, Status.FAILED}
    return attrs.evolve(
        row,
        label=event.label,
        stage=None,
        lost="",
        queued="",
        result=status.value,
        reason=failure_reason(event.outcome),
        seconds=now - row.began if row.began is not None and is_whole else None,
    )


def label_width(rows: Iterable[JobRow]) -> int:
    """Return the columns that the labels of these jobs need, at most :data:`MAX_LABEL`."""
    return min(max(len(row.label) for row in rows), MAX_LABEL)
