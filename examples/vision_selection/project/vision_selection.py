# SPDX-License-Identifier: Apache-2.0
"""The tasks ``select`` and ``evaluate``: a small contest in the selection of training data.

It is modelled on the vision challenge of DataPerf
(https://www.dataperf.org/training-set-selection-vision): the classifier is fixed, and participants
work on the data. The images are scikit-learn's digits: some of them, as embeddings without labels,
are the pool, and the others are the hidden test.

Called as MLCube calls them::

    vision_selection.py select --predictor=/mlcube_io0/predictor.py \
        --config=/mlcube_io1/config.yaml --training_sets=/mlcube_io2
    vision_selection.py evaluate --training_sets=/mlcube_io0 \
        --config=/mlcube_io1/config.yaml --scores=/mlcube_io2/scores.json

Exit codes: 0 done, 1 the predictor's code failed or an output could not be written, 2 wrong
arguments or input, 3 the predictor's selection breaks the rules.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import importlib.util
import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

import numpy as np
import yaml

DIGITS = Path(__file__).with_name("digits.csv.gz")
DIMENSIONS = 32
COLUMNS = ["ImageID", "Confidence"]


@dataclass(frozen=True)
class Config:
    """The concepts to learn, and the limits for a submission."""

    concepts: dict[str, int]
    examples: int
    budget: int


@dataclass(frozen=True)
class Images:
    """The images of the contest; embeddings have one row per image."""

    pool: np.ndarray
    pool_digits: np.ndarray
    test: np.ndarray
    test_digits: np.ndarray


class Predictor(Protocol):
    """The interface of a submission's class ``Predictor(pool)``."""

    def selection(self, examples: np.ndarray, budget: int) -> list[tuple[int, int]]: ...


def main() -> None:
    parser = argparse.ArgumentParser(prog="vision_selection")
    tasks = parser.add_subparsers(dest="task", required=True)
    for task, parameters in {
        "select": ("predictor", "config", "training_sets"),
        "evaluate": ("training_sets", "config", "scores"),
    }.items():
        command = tasks.add_parser(task)
        for parameter in parameters:
            command.add_argument(f"--{parameter}", type=Path, required=True)
    arguments = parser.parse_args()

    config = read_config(arguments.config)
    if arguments.task == "select":
        select(config, arguments.predictor, arguments.training_sets)
    else:
        evaluate(config, arguments.training_sets, arguments.scores)


def select(config: Config, submission: Path, training_sets: Path) -> None:
    """Write the training set that the submission selects for each concept, as CSV files."""
    images = load_images()
    predictor = load_predictor(submission, images.pool)
    for concept, digit in config.concepts.items():
        shown = np.flatnonzero(images.pool_digits == digit)[: config.examples]
        selection = [
            (int(row), int(guess))
            for row, guess in predictor.selection(images.pool[shown], config.budget)
        ]
        if broken := broken_rule(selection, len(images.pool), config.budget):
            fail(3, f"{concept}: {broken}")

        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerows([COLUMNS, *selection])
        publish(training_sets / f"{concept}.csv", table.getvalue())
        positive = sum(guess for _, guess in selection)
        print(f"{concept}: {len(selection)} images, {positive} as positive", flush=True)


def evaluate(config: Config, training_sets: Path, scores_file: Path) -> None:
    """Train the fixed classifier on each training set and score it on the hidden test images."""
    images = load_images()
    scores = {}
    for concept, digit in config.concepts.items():
        path = training_sets / f"{concept}.csv"
        selection = read_selection(path)
        if broken := broken_rule(selection, len(images.pool), config.budget):
            fail(3, f"{path}: {broken}")

        rows, guesses = np.array(selection).T
        weights = fit(images.pool[rows], guesses)
        found = add_one(images.test) @ weights > 0
        scores[concept] = score(found, images.test_digits == digit)
        print(f"{concept}: F1 {scores[concept]['f1']:.4f}", flush=True)

    mean = float(np.mean([concept["f1"] for concept in scores.values()]))
    print(f"mean F1 {mean:.4f}", flush=True)
    publish(scores_file, json.dumps({"mean_f1": mean, "concepts": scores}, indent=2) + "\n")


def load_images() -> Images:
    """Return the digits as embeddings: their first principal components in the pool."""
    with gzip.open(DIGITS, "rt", encoding="ascii") as table:
        rows = np.loadtxt(table, delimiter=",")
    pixels, digits = rows[:, :-1] / 16, rows[:, -1].astype(int)
    test = np.arange(len(rows)) % 3 == 0
    centre = pixels[~test].mean(axis=0)
    _, _, components = np.linalg.svd(pixels[~test] - centre, full_matrices=False)
    embeddings = (pixels - centre) @ components[:DIMENSIONS].T
    return Images(embeddings[~test], digits[~test], embeddings[test], digits[test])


def load_predictor(path: Path, pool: np.ndarray) -> Predictor:
    """Import the submission and create its `Predictor`; errors of its code propagate."""
    spec = importlib.util.spec_from_file_location("submission", path)
    if not path.is_file() or spec is None or spec.loader is None:
        fail(2, f"{path}: no such Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "Predictor"):
        fail(2, f"{path}: no class Predictor in it")
    predictor: Predictor = module.Predictor(pool)
    return predictor


def broken_rule(selection: list[tuple[int, int]], pool: int, budget: int) -> str | None:
    """Return the rule that *selection* breaks, or None."""
    rows = [row for row, _ in selection]
    if len(rows) > budget:
        return f"{len(rows)} images selected, the budget is {budget}"
    if len(set(rows)) < len(rows):
        return "an image is selected twice"
    if strangers := [row for row in rows if not 0 <= row < pool]:
        return f"image {strangers[0]} is not in the pool (0 to {pool - 1})"
    if {guess for _, guess in selection} != {0, 1}:
        return "expected images of both kinds, labelled 1 and 0"
    return None


def fit(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the weights of a ridge-regularised logistic regression, by Newton's method."""
    inputs = add_one(images)
    weights = np.zeros(inputs.shape[1])
    ridge = np.full(len(weights), 0.1)
    ridge[-1] = 0  # do not regularize the constant
    for _ in range(25):
        probability = 1 / (1 + np.exp(-inputs @ weights))
        gradient = inputs.T @ (probability - labels) + ridge * weights
        curvature = (inputs.T * (probability * (1 - probability))) @ inputs + np.diag(ridge)
        weights -= np.linalg.solve(curvature, gradient)
    return weights


def add_one(images: np.ndarray) -> np.ndarray:
    return np.hstack([images, np.ones((len(images), 1))])


def score(found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    right = int((found & truth).sum())
    precision = right / max(int(found.sum()), 1)
    recall = right / max(int(truth.sum()), 1)
    return {
        "accuracy": float((found == truth).mean()),
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / max(precision + recall, 1e-12),
    }


def read_config(path: Path) -> Config:
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
        config = Config(**given)
    except (OSError, TypeError, UnicodeDecodeError, yaml.YAMLError) as error:
        fail(2, f"{path}: {' '.join(str(error).split())}")
    concepts = config.concepts
    if not isinstance(concepts, dict) or not concepts:
        fail(2, f"{path}: concepts: expected a mapping such as 'eight: 8'")
    for name, digit in concepts.items():
        if digit not in range(10) or not str(name).isidentifier():
            fail(2, f"{path}: concepts: {name!r}: {digit!r} is not a name and a digit")
    for key in ("examples", "budget"):
        value = getattr(config, key)
        if type(value) is not int or value < 1:
            fail(2, f"{path}: {key} is {value!r}, expected a positive number")
    return config


def read_selection(path: Path) -> list[tuple[int, int]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        if header != COLUMNS:
            fail(2, f"{path}:1: expected the columns {','.join(COLUMNS)}")
        return [(int(row), int(guess)) for row, guess in rows]
    except FileNotFoundError:
        fail(2, f"{path}: no such file (the task select makes it)")
    except (OSError, ValueError) as error:
        fail(2, f"{path}: {error}")


def publish(path: Path, text: str) -> None:
    """Write *text* to *path* atomically."""
    draft = path.with_name(path.name + ".new")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        fail(1, f"{path}: cannot be written: {error}")


def fail(code: int, message: str) -> NoReturn:
    print(f"vision_selection: {message}", file=sys.stderr, flush=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
