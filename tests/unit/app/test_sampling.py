# SPDX-License-Identifier: Apache-2.0
"""The seed of random points is chosen once, and found again."""

from __future__ import annotations

import pytest

from mlcube_remote.app.options import RunOptions, SweepOptions
from mlcube_remote.app.sampling import check_sample, with_seed
from mlcube_remote.errors import UsageError
from mlcube_remote.runs.store import RUN, Store

RUN_ID = "261123-190233-k3j5h2g7x4q6w2ez"
SAMPLED = RunOptions(sweep=SweepOptions(axes={"n": ("1", "2")}, sample=1))


def test_a_sample_gets_a_seed() -> None:
    assert isinstance(with_seed(SAMPLED).sweep.seed, int)
    assert with_seed(RunOptions()) == RunOptions()


def test_a_run_that_is_continued_keeps_its_seed() -> None:
    Store().write(RUN_ID, RUN, {"began": {"options": {"seed": 42}}})
    again = RunOptions(run_id=RUN_ID, sweep=SAMPLED.sweep)
    assert with_seed(again).sweep.seed == 42
    (Store().root / RUN_ID / "run.json").write_text("{")
    assert with_seed(again).sweep.seed is not None


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        (SweepOptions(sample=3), "--sample: there is no sweep"),
        (SweepOptions(axes={"n": ("1",)}, seed=3), "--seed: no points are chosen"),
    ],
)
def test_an_option_without_effect_is_refused(sweep: SweepOptions, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_sample(sweep)
