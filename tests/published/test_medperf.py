# SPDX-License-Identifier: Apache-2.0
"""Cubes of MedPerf, and of benchmarks that use its conventions, as their READMEs run them."""

from __future__ import annotations

import pytest

from tests.published.conftest import Published


def test_data_preparator(published: Published) -> None:
    cube = published("medperf/data_preparator", inside="mlcube")
    said = cube.mlcube("run", "--task=prepare,sanity_check,statistics")
    assert said == "the data is complete\n"
    assert cube.read("data/names.csv") == "Ada,1\nAlan,2\n"
    assert cube.read("statistics.yaml") == "size: 2\n"


def test_model(published: Published) -> None:
    cube = published("medperf/model", inside="mlcube")
    cube.mlcube("run", "--task=infer")
    assert cube.read("predictions/predictions.csv") == "Good day, Ada\nGood day, Alan\n"


@pytest.mark.parametrize("at_once", [True, False], ids=["one command", "task by task"])
def test_preparation_with_labels(published: Published, at_once: bool) -> None:
    cube = published("medperf/brats_prep", inside="mlcube")
    tasks = ("prepare", "sanity_check", "statistics")
    for task in [",".join(tasks)] if at_once else tasks:
        said = cube.mlcube("run", f"--task={task}")
        assert (said == "the data is complete\n") == ("sanity_check" in task)
    assert cube.read("statistics.yaml") == "ill: 6 at site 1\n"
    assert cube.read("report.yaml") == "prepared: 1\n"


def test_certificates(published: Published) -> None:
    cube = published("medperf/fl_cert", inside="mlcube")
    said = cube.mlcube("run", "--task=trust,verify_cert")
    assert said == "the certificate is valid\n"
    assert cube.read("pki_assets/root_ca.crt") == cube.read("ca_config.json")


def test_dataperf_vision(published: Published) -> None:
    cube = published("dataperf_vision", context=".", recipe="Dockerfile_mlcube")
    said = cube.mlcube("run", "--task=download,create_baselines,evaluate,plot")
    assert said == "score 12\n"
    assert cube.read("results/score") == "12\n"
    assert cube.read("embeddings/vectors") == "3\n"


def test_dataperf_speech(published: Published) -> None:
    cube = published("dataperf_speech", context=".", recipe="Dockerfile_mlcube")
    cube.mlcube("run", "--task=download,select,evaluate")
    assert cube.read("select_output/en_train.json") == "words: 2\nallowed\nyes\n"
    assert cube.read("log.txt") == "words: 2\nallowed\nyes\neval\nno\n"


def test_gandlf_leaves_its_model_on_the_host(published: Published) -> None:
    cube = published("gandlf", inside="mlcube", context=".", recipe="Dockerfile-CPU")
    said = cube.mlcube("run", "--task=construct_csv,training")
    assert said == "trained on 2 scans\n"
    assert cube.read("data.csv") == "scan_1\nscan_2\n"
    assert cube.on_host("workspace/model/model").read_text() == "4\n"
    assert not (cube.workspace / "model").exists(), "only outputs are pulled"
