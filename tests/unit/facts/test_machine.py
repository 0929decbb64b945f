# SPDX-License-Identifier: Apache-2.0
"""What a host reports about its hardware."""

from __future__ import annotations

import pytest

from mlcube_remote.events.provenance import FileStat, Machine
from mlcube_remote.facts.machine import parse_machine, parse_stats


def test_a_machine_is_described() -> None:
    assert parse_machine(
        [
            ("machine", "x86_64"),
            ("kernel", "6.1.0-44-amd64"),
            ("os", '"Debian GNU/Linux 12 (bookworm)"'),
            ("cpu", "AMD EPYC 7763"),
            ("cpus", "0-3,8"),
            ("memory", "16384 kB"),
            ("driver", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5"),
            ("gpu", "NVIDIA A100"),
            ("gpu", "NVIDIA A100"),
        ]
    ) == Machine(
        machine="x86_64",
        kernel="6.1.0-44-amd64",
        os="Debian GNU/Linux 12 (bookworm)",
        cpu="AMD EPYC 7763",
        cpus=5,
        memory=16 * 1024 * 1024,
        gpus=("NVIDIA A100", "NVIDIA A100"),
        gpu_driver="550.54.15",
    )


@pytest.mark.parametrize("value", ["", "x", "-1", "3-1", "9" * 400, "1,,2"])
def test_what_cannot_be_read_is_unknown(value: str) -> None:
    found = parse_machine([("cpus", value), ("memory", value), ("driver", value)])
    assert found.cpus is None
    assert (found.memory, found.gpu_driver) == (None, "")


def test_long_answers_are_cut() -> None:
    found = parse_machine([("kernel", "x" * 9999), *[("gpu", "y" * 9999)] * 1000])
    assert len(found.kernel) == 200
    assert (len(found.gpus), len(found.gpus[0])) == (64, 200)


def test_sizes_and_times_of_paths_are_read() -> None:
    lines = ["4096 1795461442 /data/a b\nc", "x 1 /y", "1 2 relative"]
    assert parse_stats(lines) == {"/data/a b\nc": FileStat(4096, 1795461442)}
