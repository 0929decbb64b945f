# SPDX-License-Identifier: Apache-2.0
"""The command line in a record has no secrets."""

from __future__ import annotations

import pytest

from mlcube_remote.cli.redact import redact


@pytest.mark.parametrize(
    ("given", "recorded"),
    [
        (["--env", "A=b"], ["--env", "A=***"]),
        (["--env=A=b=c"], ["--env=A=***"]),
        (["--env", "A"], ["--env", "A"]),
        (["lr=0.1"], ["lr=0.1"]),
        (["api_key=abc"], ["api_key=***"]),
        (["-Pdocker.env_args.HF_TOKEN=abc"], ["-Pdocker.env_args.HF_TOKEN=***"]),
        (["url=https://ada:pw@example.org/x"], ["url=https://***@example.org/x"]),
        (["https://ada:pw@example.org"], ["https://***@example.org"]),
        (["password="], ["password="]),
    ],
)
def test_values_that_may_be_secret_are_masked(given: list[str], recorded: list[str]) -> None:
    assert redact(["/x/__main__.py", "run", *given]) == ("mlcube-remote", "run", *recorded)
