# SPDX-License-Identifier: Apache-2.0
"""The tasks ``download`` and ``train``: handwritten digits, and a network that recognizes them.

Called as MLCube calls them::

    mnist.py download --data_config=/mlcube_io0/data.yaml --data_dir=/mlcube_io1
    mnist.py train --data_dir=/mlcube_io0 --parameters_file=/mlcube_io1/train.yaml \
        --model_dir=/mlcube_io2 --metrics=/mlcube_io3/train.json

The same data, parameters and seed give the same model and metrics, byte for byte, on the same
kind of processor. Exit codes: 0 done, 1 an output could not be written, 2 wrong arguments or
input, 3 the data could not be fetched or has another checksum.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import http.client
import io
import json
import os
import sys
import time
import urllib.error
import urllib.request
import zipfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import NoReturn, TypeVar

import numpy as np
import yaml

DIGITS = Path(__file__).with_name("digits.csv.gz")
DATASET = "mnist.npz"
ARRAYS = ("x_train", "y_train", "x_test", "y_test")


@dataclass(frozen=True)
class Source:
    """The source of the images for ``download``."""

    source: str = "auto"
    url: str = ""
    sha256: str = ""
    timeout: int = 10


@dataclass(frozen=True)
class Training:
    """Settings of ``train``."""

    hidden: int = 128
    steps: int = 2000
    batch: int = 64
    learning_rate: float = 0.1
    momentum: float = 0.9
    report_every: int = 200
    seed: int = 0


Settings = TypeVar("Settings", Source, Training)


def main() -> None:
    parser = argparse.ArgumentParser(prog="mnist")
    tasks = parser.add_subparsers(dest="task", required=True)
    task = tasks.add_parser("download")
    task.add_argument("--data_config", type=Path, required=True)
    task.add_argument("--data_dir", type=Path, required=True)
    task = tasks.add_parser("train")
    task.add_argument("--data_dir", type=Path, required=True)
    task.add_argument("--parameters_file", type=Path, required=True)
    task.add_argument("--model_dir", type=Path, required=True)
    task.add_argument("--metrics", type=Path, required=True)
    arguments = parser.parse_args()

    if arguments.task == "download":
        download(read_settings(arguments.data_config, Source()), arguments.data_dir)
    else:
        training = read_settings(arguments.parameters_file, Training())
        train(training, arguments.data_dir, arguments.model_dir, arguments.metrics)


def download(source: Source, data_dir: Path) -> None:
    """Write ``mnist.npz`` to *data_dir*, unless it exists."""
    if source.source not in {"auto", "mnist", "digits"}:
        fail(2, f"source is {source.source!r}, expected auto, mnist or digits")
    if source.source == "digits":
        publish(data_dir / DATASET, bundled_digits())
        print("digits: 1797 images of 8 x 8 pixels from scikit-learn", flush=True)
        return

    if not source.url.startswith(("https://", "http://")) or len(source.sha256) != 64:
        fail(2, "url (http or https) and sha256 (64 hexadecimal digits) are both needed")
    try:
        present = (data_dir / DATASET).read_bytes()
    except OSError:
        present = b""
    if hashlib.sha256(present).hexdigest() == source.sha256:
        print("mnist: already there, sha256 as expected", flush=True)
        return

    print(f"mnist: fetching {source.url}", flush=True)
    # Without a network, do not wait long for the name server: the bundled digits can be used.
    os.environ.setdefault("RES_OPTIONS", "timeout:1 attempts:1")
    try:
        with urllib.request.urlopen(source.url, timeout=source.timeout) as reply:  # noqa: S310 - scheme checked above
            content = reply.read()
    except (OSError, ValueError, http.client.HTTPException) as error:
        if source.source == "mnist" or isinstance(error, urllib.error.HTTPError):
            fail(3, f"{source.url}: {error}")
        print(f"mnist: not reachable ({error}); using the bundled digits", flush=True)
        publish(data_dir / DATASET, bundled_digits())
        return
    digest = hashlib.sha256(content).hexdigest()
    if digest != source.sha256:
        fail(3, f"{source.url}: sha256 is {digest}, expected {source.sha256}")
    publish(data_dir / DATASET, content)
    print(f"mnist: {len(content)} bytes, sha256 as expected", flush=True)


def bundled_digits() -> bytes:
    """Return scikit-learn's digits in the layout of mnist.npz; every fifth is a test image."""
    with gzip.open(DIGITS, "rt", encoding="ascii") as table:
        rows = np.loadtxt(table, delimiter=",", dtype=np.uint8)
    images, labels = rows[:, :-1].reshape(-1, 8, 8), rows[:, -1]
    test = np.arange(len(rows)) % 5 == 0
    return packed(
        x_train=images[~test], y_train=labels[~test], x_test=images[test], y_test=labels[test]
    )


def train(training: Training, data_dir: Path, model_dir: Path, metrics_file: Path) -> None:
    """Train, print the progress, and write the model and its metrics."""
    x_train, y_train, x_test, y_test = load_images(data_dir / DATASET)
    print(f"{len(x_train)} images to train on, {len(x_test)} to test on", flush=True)

    random = np.random.default_rng(training.seed)
    network = Network(x_train.shape[1], training.hidden, random)
    start = time.perf_counter()
    loss = 0.0
    for step in range(1, training.steps + 1):
        chosen = random.integers(len(x_train), size=training.batch)
        rate = training.learning_rate * (1 - (step - 1) / training.steps)
        loss += network.update(x_train[chosen], y_train[chosen], rate, training.momentum)
        if step % training.report_every == 0:
            accuracy = network.accuracy(x_test, y_test)
            print(
                f"step {step}/{training.steps}: loss {loss / training.report_every:.4f}, "
                f"test accuracy {accuracy:.4f}, {time.perf_counter() - start:.1f} s",
                flush=True,
            )
            loss = 0.0

    metrics = {
        "train_accuracy": network.accuracy(x_train, y_train),
        "test_accuracy": network.accuracy(x_test, y_test),
        "train_images": len(x_train),
        "test_images": len(x_test),
        "pixels": x_train.shape[1],
        "parameters": asdict(training),
    }
    publish(model_dir / "model.npz", packed(**network.weights))
    # Write the metrics last: if they exist, the model is complete.
    publish(metrics_file, (json.dumps(metrics, indent=2) + "\n").encode())


class Network:
    """One hidden layer of rectified linear units and softmax, trained with momentum."""

    def __init__(self, inputs: int, hidden: int, random: np.random.Generator) -> None:
        def layer(fan_in: int, fan_out: int) -> np.ndarray:
            return (random.standard_normal((fan_in, fan_out)) * np.sqrt(2 / fan_in)).astype("f4")

        self.weights = {
            "hidden": layer(inputs, hidden),
            "hidden_bias": np.zeros(hidden, "f4"),
            "output": layer(hidden, 10),
            "output_bias": np.zeros(10, "f4"),
        }
        self._velocity = {name: np.zeros_like(value) for name, value in self.weights.items()}

    def update(self, images: np.ndarray, labels: np.ndarray, rate: float, momentum: float) -> float:
        """Take one gradient step on a batch and return the cross-entropy before it."""
        hidden, scores = self._forward(images)
        scores -= scores.max(axis=1, keepdims=True)
        probability = np.exp(scores)
        probability /= probability.sum(axis=1, keepdims=True)
        here = np.arange(len(labels))
        loss = float(-np.log(probability[here, labels] + 1e-12).mean())

        d_scores = probability
        d_scores[here, labels] -= 1
        d_scores /= len(labels)
        d_hidden = d_scores @ self.weights["output"].T * (hidden > 0)
        gradients = {
            "hidden": images.T @ d_hidden,
            "hidden_bias": d_hidden.sum(axis=0),
            "output": hidden.T @ d_scores,
            "output_bias": d_scores.sum(axis=0),
        }
        for name, gradient in gradients.items():
            self._velocity[name] *= momentum
            self._velocity[name] -= rate * gradient
            self.weights[name] += self._velocity[name]
        return loss

    def accuracy(self, images: np.ndarray, labels: np.ndarray) -> float:
        """Return the share of *images* that are classified correctly."""
        return float((self._forward(images)[1].argmax(axis=1) == labels).mean())

    def _forward(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        hidden = np.maximum(images @ self.weights["hidden"] + self.weights["hidden_bias"], 0)
        return hidden, hidden @ self.weights["output"] + self.weights["output_bias"]


def load_images(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return training images and labels, then test images and labels; pixels from 0 to 1."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            x_train, y_train, x_test, y_test = (archive[name] for name in ARRAYS)
    except FileNotFoundError:
        fail(2, f"{path}: no such file (the task download makes it)")
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        fail(2, f"{path}: not the dataset that the task download makes: {error}")
    brightest = np.float32(x_train.max())
    return (
        x_train.reshape(len(x_train), -1) / brightest,
        y_train.astype(int),
        x_test.reshape(len(x_test), -1) / brightest,
        y_test.astype(int),
    )


def read_settings(path: Path, defaults: Settings) -> Settings:
    """Return *defaults*, updated from the YAML file at *path*."""
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        fail(2, f"{path}: {' '.join(str(error).split())}")
    if not isinstance(given, dict):
        fail(2, f"{path}: expected a mapping such as 'seed: 0'")
    known = {field.name: type(field.default) for field in fields(defaults)}
    for key, value in given.items():
        if key not in known:
            fail(2, f"{path}: unknown key {key!r} (known: {', '.join(known)})")
        if type(value) is not known[key] and (known[key], type(value)) != (float, int):
            fail(2, f"{path}: {key} is {value!r}, expected {known[key].__name__}")
        if known[key] is not str and value < (known[key] is int and key != "seed"):
            fail(2, f"{path}: {key} is {value}, expected a positive number")
    return type(defaults)(**given)


def packed(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def publish(path: Path, content: bytes) -> None:
    """Write *content* to *path* atomically."""
    draft = path.with_name(path.name + ".new")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    except OSError as error:
        fail(1, f"{path}: cannot be written: {error}")


def fail(code: int, message: str) -> NoReturn:
    print(f"mnist: {message}", file=sys.stderr, flush=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
