# SPDX-License-Identifier: Apache-2.0
"""The task ``matmul``: multiply two random matrices, check the product, report the speed.

Called as MLCube calls it::

    matmul.py matmul --parameters_file=/mlcube_io0/shapes.yaml --metrics=/mlcube_io1/matmul.json

Exit codes: 0 done, 1 the product is wrong, 2 wrong arguments or parameters.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import NoReturn

import numpy as np
import yaml


@dataclass(frozen=True)
class Shapes:
    """The shapes of the matrices: (rows x inner) times (inner x columns)."""

    rows: int = 1024
    inner: int = 1024
    columns: int = 1024
    dtype: str = "float32"
    repeats: int = 5
    seed: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(prog="matmul")
    parser.add_argument("task", choices=["matmul"])
    parser.add_argument("--parameters_file", type=Path, required=True)
    parser.add_argument("--metrics", type=Path, required=True)
    arguments = parser.parse_args()

    shapes = read_shapes(arguments.parameters_file)
    metrics = multiply(shapes)
    publish(arguments.metrics, json.dumps(metrics, indent=2) + "\n")
    if not metrics["correct"]:
        fail(1, f"the product is off by {metrics['relative_error']:.1e}")


def read_shapes(path: Path) -> Shapes:
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        fail(2, f"{path}: {' '.join(str(error).split())}")
    if not isinstance(given, dict):
        fail(2, f"{path}: expected a mapping such as 'rows: 1024'")
    known = {field.name: type(field.default) for field in fields(Shapes)}
    for key, value in given.items():
        if key not in known:
            fail(2, f"{path}: unknown key {key!r} (known: {', '.join(known)})")
        if type(value) is not known[key]:
            fail(2, f"{path}: {key} is {value!r}, expected {known[key].__name__}")
        if known[key] is int and value < (key != "seed"):
            fail(2, f"{path}: {key} is {value}, expected a positive number")
    shapes = Shapes(**given)
    if shapes.dtype not in {"float32", "float64"}:
        fail(2, f"{path}: dtype is {shapes.dtype!r}, expected float32 or float64")
    return shapes


def multiply(shapes: Shapes) -> dict[str, object]:
    """Time the product, then check it with matrix-vector products."""
    random = np.random.default_rng(shapes.seed)
    left = random.standard_normal((shapes.rows, shapes.inner)).astype(shapes.dtype)
    right = random.standard_normal((shapes.inner, shapes.columns)).astype(shapes.dtype)
    operations = 2 * shapes.rows * shapes.inner * shapes.columns

    seconds = []
    for repeat in range(1, shapes.repeats + 1):
        start = time.perf_counter()
        product = left @ right
        seconds.append(time.perf_counter() - start)
        print(
            f"repeat {repeat}/{shapes.repeats}: {seconds[-1] * 1e3:.1f} ms, "
            f"{operations / seconds[-1] / 1e9:.1f} GFLOP/s",
            flush=True,
        )

    # Freivalds' check: (AB)v equals A(Bv) for a random v only if AB is right. It needs only
    # three matrix-vector products.
    vector = random.standard_normal(shapes.columns)
    expected = left @ (right @ vector)
    error = float(np.linalg.norm(product @ vector - expected) / np.linalg.norm(expected))
    return {
        "shapes": asdict(shapes),
        "best_seconds": min(seconds),
        "gflops": operations / min(seconds) / 1e9,
        "relative_error": error,
        "correct": bool(error < 10 * np.sqrt(shapes.inner) * np.finfo(shapes.dtype).eps),
        "numpy": np.__version__,
    }


def publish(path: Path, text: str) -> None:
    """Write *text* to *path* atomically."""
    draft = path.with_name(path.name + ".new")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        fail(1, f"{path}: cannot be written: {error}")


def fail(code: int, message: str) -> NoReturn:
    print(f"matmul: {message}", file=sys.stderr, flush=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
