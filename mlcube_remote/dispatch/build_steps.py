# SPDX-License-Identifier: Apache-2.0
"""The progress of the build or pull of an image, as far as the engine prints it.

Docker's classic builder and Podman print ``Step 3/12 : RUN …``, BuildKit prints
``#7 [build 3/12] RUN …``. A pull by Docker prints a line for each layer. Singularity and Apptainer
print what they do, without numbers.
"""

from __future__ import annotations

import re

import attrs

from mlcube_remote.files.transfer_progress import ProgressSink
from mlcube_remote.transport.base import Stream

_MAX_LINE = 4096
"""Bytes of a line that are read."""
_MAX_SHOWN = 120
"""Characters of an instruction that are shown."""
_MAX_LAYERS = 10_000

_STEP = re.compile(r"(?:\[(\d{1,4})/(\d{1,4})\] )?(?:Step|STEP) (\d{1,4})/(\d{1,4}) ?: (.*)")
_BUILDKIT = re.compile(r"#\d+ \[(?:(\S+) )?(\d{1,4})/(\d{1,4})\] (.*)")
_LAYER = re.compile(r"([0-9a-f]{12}): (Pulling fs layer|Already exists|Pull complete)")
_SIF = re.compile(r"INFO: +(\S.*)")


@attrs.define
class BuildSteps:
    """Reads what an engine prints, and reports each step."""

    report: ProgressSink
    _rest: dict[Stream, bytes] = attrs.field(factory=dict, init=False)
    """The incomplete last line of each stream."""
    _layers: dict[str, bool] = attrs.field(factory=dict, init=False)
    """Layer → whether it is there."""

    def read(self, stream: Stream, data: bytes) -> None:
        """Take a part of what the engine prints."""
        text = (self._rest.get(stream, b"") + data).replace(b"\r", b"\n")
        *lines, rest = text.split(b"\n")
        self._rest[stream] = rest[:_MAX_LINE]
        for line in lines:
            self._read_line(line[:_MAX_LINE].decode("utf-8", "replace"))

    def _read_line(self, line: str) -> None:
        if match := _STEP.match(line):
            stage, stages, number, count, what = match.groups()
            where = f" of stage {stage}/{stages}" if stage else ""
            self._report_step(int(number), int(count), where, what)
        elif match := _BUILDKIT.match(line):
            stage, number, count, what = match.groups()
            self._report_step(int(number), int(count), f" of {stage}" if stage else "", what)
        elif match := _LAYER.match(line):
            self._report_layer(match[1], is_there=match[2] != "Pulling fs layer")
        elif match := _SIF.match(line):
            self.report(match[1][:_MAX_SHOWN], None)

    def _report_step(self, number: int, count: int, where: str, what: str) -> None:
        if not 0 < number <= count:
            return
        text = f"step {number} of {count}{where}: {what.strip()}"
        self.report(text[:_MAX_SHOWN], (number - 1) / count)

    def _report_layer(self, name: str, *, is_there: bool) -> None:
        if name not in self._layers and len(self._layers) >= _MAX_LAYERS:
            return
        self._layers[name] = is_there
        done, count = sum(self._layers.values()), len(self._layers)
        self.report(f"layer {done} of {count}", done / count)
