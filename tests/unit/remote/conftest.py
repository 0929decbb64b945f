# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests of the shell library: each shell, an engine, Slurm, a job."""

from tests.support.fake_slurm import slurm
from tests.support.shell_library import call, engine, gate, job

__all__ = ["call", "engine", "gate", "job", "slurm"]
