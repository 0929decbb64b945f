# SPDX-License-Identifier: Apache-2.0
"""The cubes of mlcommons/mlcube_examples, each with the commands of its README."""

from __future__ import annotations

from tests.published.conftest import Published
from tests.support.cubes import QUICKLY


def test_hello_world(published: Published) -> None:
    cube = published("hello_world")
    cube.mlcube("run", "--mlcube=.", "--platform=docker", "--task=hello")
    cube.mlcube("run", "--mlcube=.", "--platform=docker", "--task=bye")
    assert cube.read("chats/chat_with_alice.txt") == "hello, Alice\nbye, Alice\n"


def test_matmul(published: Published) -> None:
    cube = published("matmul")
    cube.mlcube(
        "configure",
        "--mlcube=.",
        "--platform=docker",
        "-Pdocker.build_context=project",
        "-Pdocker.build_strategy=auto",
    )
    cube.mlcube("run", "--mlcube=.", "--platform=docker", "--task=matmul")
    assert cube.read("matmul.txt") == "42\n"


def test_mnist(published: Published) -> None:
    cube = published("mnist")
    cube.mlcube("run", "--task=download", "--platform=docker")
    cube.mlcube("run", "--task=train", "--platform=docker")
    assert cube.read("model/model") == "5\n"
    assert cube.read("logs/download.log") == "download\n"
    assert cube.read("logs/train.log") == "train\n"


def test_mnist_with_both_tasks_in_one_command(published: Published) -> None:
    cube = published("mnist")
    cube.mlcube("run", "--task=download,train", "--platform=docker")
    assert cube.read("model/model") == "5\n"


def test_mnist_from_the_image_of_its_docker_section(published: Published) -> None:
    cube = published("mnist", "apptainer")
    cube.save("mnist.tar")
    options = ("--platform=singularity", "-Pdocker.tar_file=mnist.tar", QUICKLY)
    cube.mlcube("run", "--task=download", *options)
    cube.mlcube("run", "--task=train", *options)
    assert cube.read("model/model") == "5\n"


def test_emdenoise(published: Published) -> None:
    cube = published("emdenoise", context="emdenoise")
    for task in ("download", "preprocess", "train", "test"):
        cube.mlcube("run", "--mlcube=.", f"--task={task}")
    assert cube.read("output/image") == "4\n2\n1\n"
    assert cube.read("logs/test.log") == "test\n"


def test_getting_started_in_one_command(published: Published) -> None:
    cube = published("getting-started", inside="mlcube")
    said = cube.mlcube("run", "--task=download_data,preprocess_data,train")
    assert said == "trained on house,3 with rooms: 3\n"
    assert cube.read("data/raw_dataset.txt") == "house 3\n"
    assert cube.read("data/processed_dataset.csv") == "house,3\n"


def test_getting_started_is_built_next_to_the_cube(published: Published) -> None:
    cube = published("getting-started", inside="mlcube", context=None)
    words = ("run", "--task=download_data,preprocess_data,train", "-Pdocker.build_strategy=always")
    untrusted = cube.call(*words)
    assert "docker.build_context: an image build from ../project, outside the cube" in (
        untrusted.stderr
    )
    assert cube.mlcube(*words, "--trust-cube") == "trained on house,3 with rooms: 3\n"


def test_getting_started_task_by_task(published: Published) -> None:
    cube = published("getting-started", inside="mlcube")
    cube.mlcube("run", "--task", "download_data")
    cube.mlcube("run", "--task", "preprocess_data")
    said = cube.mlcube("run", "--task", "train")
    assert said == "trained on house,3 with rooms: 3\n"


def test_getting_started_in_another_workspace(published: Published) -> None:
    cube = published("getting-started", inside="mlcube")
    other = cube.root.parent / "elsewhere"
    settings = f"parameters_file=local:{cube.workspace}/parameters.yaml"
    tasks = "--task=download_data,preprocess_data,train"
    assert "rooms: 3" in cube.mlcube("run", tasks, f"--workspace={other}", settings)
    assert (other / "data/processed_dataset.csv").read_text() == "house,3\n"
    assert not (cube.workspace / "data").exists()


def test_boston_housing(published: Published) -> None:
    cube = published("boston_housing", inside="mlcube")
    for task in ("download_data", "preprocess_data"):
        cube.mlcube("run", "--task", task)
    assert cube.read("data/raw_dataset.txt") == "house 3\n"
    assert cube.mlcube("run", "--task", "train") == "trained on house,3 with estimators: 4\n"


def test_mnist_fl(published: Published) -> None:
    cube = published("mnist_fl/pytorch", context=None)
    build = "-Pdocker.build_strategy=auto"
    for task in ("download", "train", "evaluate"):
        cube.mlcube("run", "--task", task, build)
    assert cube.read("metrics/train_metrics.json") == '{"round": 1}\n'
    assert cube.read("metrics/evaluate_metrics.json") == '{"score": 8}\n'
    cube.mlcube("run", "--task=train,evaluate", build)
    assert cube.read("model/model") == "2\n", "the model is an input, too"
    assert cube.read("metrics/evaluate_metrics.json") == '{"score": 16}\n'


def test_chexpert(published: Published) -> None:
    cube = published("chexpert", inside="mlcube")
    for task in ("download_data", "download_model", "infer"):
        cube.mlcube("run", "--task", task)
    assert cube.read("inferences.txt") == "15\n"
    assert cube.read("model/weights") == "3\n"


def test_fets_preprocessing(published: Published) -> None:
    cube = published("fets/preprocessing", inside="mlcube")
    said = cube.mlcube("run", "--task=prepare,sanity_check,statistics")
    assert said == "the data is complete\n"
    assert cube.read("results/scan_2") == "ill 40\n"
    assert cube.read("statistics.yaml") == "scans: 2\n"


def test_fets_model_needs_no_checkpoint(published: Published) -> None:
    cube = published("fets/model", inside="mlcube")
    cube.mlcube("run", "--mlcube=mlcube.yaml", "--task=infer")
    assert cube.read("output/patient_1") == "10\n"
    checkpoint = cube.root.parent / "checkpoint"
    checkpoint.write_text("3\n")
    given = f"checkpoint_path=local:{checkpoint}"
    cube.mlcube("run", "--mlcube=mlcube.yaml", "--task=infer", given)
    assert cube.read("output/patient_1") == "15\n"


def test_fets_metrics(published: Published) -> None:
    cube = published("fets/metrics", inside="mlcube")
    cube.mlcube("run", "--task=evaluate")
    assert cube.read("results.yaml") == "difference: 2\n"
