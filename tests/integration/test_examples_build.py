# SPDX-License-Identifier: Apache-2.0
"""Every example builds, and its tasks run as the reference runner would run them with Docker.

The images stay between runs, so that only changed ones are built; the containers do not.
"""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml

from tests.support.tracked import copy_tracked

EXAMPLES = Path(__file__).parents[2] / "examples"
LABEL = "mlcube-remote.test=examples"

Completed = subprocess.CompletedProcess[str]


def docker(*arguments: str) -> Completed:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module", autouse=True)
def _no_containers_left(engine: None) -> Iterator[None]:
    yield
    left = docker("ps", "--all", "--quiet", "--filter", f"label={LABEL}").stdout.split()
    if left:
        docker("rm", "--force", *left)


@functools.cache
def image(name: str) -> str:
    """Build the image of the example once in a test run and return its tag."""
    tag = f"mlcube-remote-test/{name}:latest"
    build = docker("build", "--label", LABEL, "--tag", tag, str(EXAMPLES / name / "project"))
    assert build.returncode == 0, (build.stdout + build.stderr)[-2000:]
    return tag


@attrs.frozen
class Cube:
    """A copy of an example that a test may change, with its image."""

    root: Path
    tasks: dict[str, Any]
    image: str

    @property
    def workspace(self) -> Path:
        return self.root / "workspace"

    def run(self, task: str, *options: str, **given: str) -> Completed:
        """Run *task* with a mount for each folder and a `/mlcube_ioN` path for each parameter."""
        mounts: dict[Path, str] = {}
        arguments = []
        parameters = self.tasks[task]["parameters"]
        for direction in ("inputs", "outputs"):
            for name, declared in parameters[direction].items():
                path = self.workspace / given.get(name, declared["default"])
                is_file = declared["type"] == "file"
                folder = path.parent if is_file else path
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(0o777)  # a container user of any number writes here
                inside = mounts.setdefault(folder, f"/mlcube_io{len(mounts)}")
                arguments.append(
                    f"--{name}={inside}/{path.name}" if is_file else f"--{name}={inside}"
                )
        volumes = [f"--volume={folder}:{inside}" for folder, inside in mounts.items()]
        return docker(
            "run", "--rm", "--label", LABEL, *options, *volumes, self.image, task, *arguments
        )

    def read(self, name: str) -> Any:
        return json.loads((self.workspace / name).read_text())

    def configure(self, name: str, **settings: Any) -> None:
        path = self.workspace / name
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | settings))


Example = Callable[[str], Cube]


@pytest.fixture
def example(tmp_path: Path) -> Iterator[Example]:
    def copy(name: str) -> Cube:
        root = tmp_path / name
        copy_tracked(EXAMPLES / name / "workspace", root / "workspace")
        content = yaml.safe_load((EXAMPLES / name / "mlcube.yaml").read_text())
        return Cube(root, content["tasks"], image(name))

    yield copy
    if os.getuid() != 0:  # what root wrote in a container, only root can delete
        shell = ["--volume", f"{tmp_path}:/left", "--entrypoint", "/bin/sh"]
        docker("run", "--rm", *shell, image("hello_world"), "-c", "rm -rf /left/*")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Serve a folder on loopback, for containers on the machine's network."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, format: str, *values: object) -> None:  # noqa: A002
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", folder
        running.shutdown()


def succeeded(result: Completed) -> Completed:
    assert result.returncode == 0, result.stderr
    return result


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("user", ["0:0", "4242:4242"])
def test_hello_world_writes_the_chat_as_any_user(example: Example, user: str) -> None:
    cube = example("hello_world")
    for task in ("hello", "bye"):
        succeeded(cube.run(task, "--user", user))
    assert (cube.workspace / "chats/chat_with_alice.txt").read_text() == (
        "Hello, Alice! Nice to meet you.\nGood-bye, Alice! It was nice talking to you.\n"
    )


def test_matmul_reports_a_correct_product(example: Example) -> None:
    cube = example("matmul")
    cube.configure("shapes.yaml", rows=300, inner=200, columns=100, repeats=2)
    log = succeeded(cube.run("matmul")).stdout.splitlines()
    assert [line.split(":")[0] for line in log] == ["repeat 1/2", "repeat 2/2"]
    metrics = cube.read("metrics/matmul.json")
    assert metrics["correct"] is True
    assert metrics["gflops"] > 0


def test_mnist_learns_and_repeats_byte_for_byte(example: Example) -> None:
    cube = example("mnist")
    succeeded(cube.run("download", "--network=none", "--user=4242:4242"))
    outputs = []
    for _ in range(2):
        log = succeeded(cube.run("train", "--network=none")).stdout
        assert "step 2000/2000: loss" in log
        outputs.append(tree(cube.workspace / "model") | tree(cube.workspace / "metrics"))
    assert outputs[0] == outputs[1]
    assert list(outputs[0]) == ["model.npz", "train.json"]
    assert cube.read("metrics/train.json")["test_accuracy"] > 0.95


def test_mnist_fetches_what_its_sha256_names(example: Example, server: tuple[str, Path]) -> None:
    url, folder = server
    content = b"in the place of the seventy thousand images"
    (folder / "mnist.npz").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    cube = example("mnist")
    cube.configure("data.yaml", url=f"{url}/mnist.npz", sha256=digest)
    assert "sha256 as expected" in succeeded(cube.run("download", "--network=host")).stdout
    assert tree(cube.workspace / "data") == {"mnist.npz": content}

    (folder / "mnist.npz").unlink()
    assert "already there" in succeeded(cube.run("download", "--network=host")).stdout


@pytest.mark.parametrize(
    ("settings", "code", "message"),
    [
        ({"sha256": "0" * 64}, 3, f"expected {'0' * 64}"),
        ({"sha256": ""}, 2, "url (http or https) and sha256"),
        ({"url": "file:///etc/passwd"}, 2, "url (http or https) and sha256"),
        ({"source": "cifar"}, 2, "expected auto, mnist or digits"),
        ({"timeout": "long"}, 2, "timeout is 'long', expected int"),
        ({"hash": "0"}, 2, "unknown key 'hash'"),
    ],
)
def test_mnist_refuses_data_it_cannot_trust(
    example: Example, server: tuple[str, Path], settings: dict[str, str], code: int, message: str
) -> None:
    url, folder = server
    (folder / "mnist.npz").write_bytes(b"something else")
    cube = example("mnist")
    cube.configure("data.yaml", **({"url": f"{url}/mnist.npz"} | settings))
    result = cube.run("download", "--network=host")
    assert result.returncode == code
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert tree(cube.workspace / "data") == {}


def test_mnist_asked_for_the_mirror_alone_does_not_fall_back(example: Example) -> None:
    cube = example("mnist")
    cube.configure("data.yaml", source="mnist")
    result = cube.run("download", "--network=none")
    assert result.returncode == 3
    assert tree(cube.workspace / "data") == {}


def test_emdenoise_beats_the_mean_filter(example: Example) -> None:
    cube = example("emdenoise")
    cube.configure("train.yaml", steps=40)
    cube.configure("data.yaml", images={"train": 32, "test": 4})
    succeeded(cube.run("download", "--network=none"))
    succeeded(cube.run("train"))
    succeeded(cube.run("test", "--user=4242:4242"))
    scores = cube.read("metrics/test.json")
    assert scores["psnr_noisy"] < scores["psnr_mean_filter"] < scores["psnr_denoised"]
    previews = tree(cube.workspace / "previews")
    assert sorted(previews) == ["0.png", "1.png", "2.png", "3.png"]
    assert all(content.startswith(b"\x89PNG\r\n") for content in previews.values())


def test_emdenoise_cuts_the_real_files_to_what_is_asked(
    example: Example, server: tuple[str, Path]
) -> None:
    url, folder = server
    cube = example("emdenoise")
    write_files = (
        "import h5py, numpy\n"
        "for part in ('train', 'test'):\n"
        "    for kind in ('noise', 'clean'):\n"
        "        with h5py.File(f'/out/{part}_{kind}.h5', 'w') as file:\n"
        "            file['images'] = numpy.full((6, 80, 80, 1), 200, 'f4')\n"
    )
    python = ["--volume", f"{folder}:/out", "--entrypoint", "python3"]
    succeeded(docker("run", "--rm", "--label", LABEL, *python, cube.image, "-c", write_files))
    sums = {}
    for part in ("train", "test"):
        (folder / part).mkdir()
        for kind in ("noise", "clean"):
            name = f"{part}/graphene_img_{kind}.h5"
            shutil.copy(folder / f"{part}_{kind}.h5", folder / name)
            sums[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    cube.configure(
        "data.yaml", source="em_graphene_sim", url=url, sha256=sums, images={"train": 5, "test": 3}
    )
    log = succeeded(cube.run("download", "--network=host")).stdout
    assert "5 pairs to train on, 3 to test on" in log
    assert list(tree(cube.workspace / "data")) == ["pairs.npz"]


def test_emdenoise_wants_checksums_before_it_fetches(example: Example) -> None:
    cube = example("emdenoise")
    cube.configure("data.yaml", source="em_graphene_sim")
    result = cube.run("download")
    assert result.returncode == 2
    assert "no sha256 for train/graphene_img_noise.h5" in result.stderr


def test_vision_selection_scores_the_submission(example: Example) -> None:
    cube = example("vision_selection")
    succeeded(cube.run("select", "--network=none", "--user=4242:4242"))
    assert "mean F1" in succeeded(cube.run("evaluate")).stdout
    assert cube.read("scores/scores.json")["mean_f1"] > 0.5
    assert sorted(tree(cube.workspace / "submission")) == ["predictor.py"]


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ("return [(row, row % 2) for row in range(budget + 1)]", 3, "the budget is 60"),
        ("return [(row, 1) for row in range(budget)]", 3, "images of both kinds"),
        ("return [(0, 1), (123456, 0)]", 3, "image 123456 is not in the pool"),
        ("raise ZeroDivisionError('my mistake')", 1, "ZeroDivisionError: my mistake"),
    ],
)
def test_vision_selection_says_what_is_wrong_with_a_submission(
    example: Example, body: str, code: int, message: str
) -> None:
    cube = example("vision_selection")
    (cube.workspace / "submission/predictor.py").write_text(
        "class Predictor:\n"
        "    def __init__(self, pool): pass\n"
        f"    def selection(self, examples, budget): {body}\n"
    )
    result = cube.run("select")
    assert result.returncode == code
    assert message in result.stderr


@pytest.mark.parametrize(
    ("name", "task", "message"),
    [
        ("mnist", "train", "/mlcube_io0/mnist.npz: no such file (the task download makes it)"),
        ("emdenoise", "train", "/mlcube_io0/pairs.npz: no such file (the task download makes it)"),
        ("vision_selection", "evaluate", "/mlcube_io0/three.csv: no such file (the task select"),
    ],
)
def test_task_before_its_turn_names_the_missing_file(
    example: Example, name: str, task: str, message: str
) -> None:
    result = example(name).run(task)
    assert result.returncode == 2
    assert result.stderr.startswith(f"{name}: {message}")
    assert result.stderr.count("\n") == 1
