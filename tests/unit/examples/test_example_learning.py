# SPDX-License-Identifier: Apache-2.0
"""The mathematics of the Python examples, where NumPy is installed."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

np: Any = pytest.importorskip("numpy")

EXAMPLES = Path(__file__).parents[3] / "examples"


def program(monkeypatch: pytest.MonkeyPatch, cube: str, module: str) -> ModuleType:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(EXAMPLES / cube / "project")
    monkeypatch.delitem(sys.modules, module, raising=False)
    return importlib.import_module(module)


def test_denoiser_gradients_are_those_of_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    denoiser = program(monkeypatch, "emdenoise", "denoiser")
    random = np.random.default_rng(0)
    network = denoiser.Denoiser(channels=2, layers=3, random=random)
    for values in (network.weights, network.biases):
        values[:] = [random.standard_normal(value.shape) * 0.3 for value in values]
    noisy, clean = random.standard_normal((2, 2, 5, 6))
    _, gradients = network.gradients(noisy, clean)

    step = 1e-6
    for parameter, gradient in zip(network.parameters, gradients, strict=True):
        for index in np.ndindex(parameter.shape):
            parameter[index] += step
            above, _ = network.gradients(noisy, clean)
            parameter[index] -= 2 * step
            below, _ = network.gradients(noisy, clean)
            parameter[index] += step
            assert gradient[index] == pytest.approx((above - below) / (2 * step), abs=1e-7)


def test_untrained_denoiser_leaves_the_image_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    denoiser = program(monkeypatch, "emdenoise", "denoiser")
    network = denoiser.Denoiser(channels=3, layers=2, random=np.random.default_rng(0))
    image = np.random.default_rng(1).random((1, 4, 4)).astype("f4")
    assert (network(image) == image).all()


def test_lattice_has_three_neighbours_for_each_inner_atom(monkeypatch: pytest.MonkeyPatch) -> None:
    lattice = program(monkeypatch, "emdenoise", "lattice")
    atoms = lattice.honeycomb(size=64, bond=5.0, random=np.random.default_rng(3))
    inner = ((atoms > 8) & (atoms < 56)).all(axis=1)
    distance = np.linalg.norm(atoms[inner, None] - atoms[None], axis=2)
    assert inner.sum() > 50
    assert (np.isclose(distance, 5.0).sum(axis=1) == 3).all()


def test_drawn_pairs_repeat_with_their_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    lattice = program(monkeypatch, "emdenoise", "lattice")
    once, again = (lattice.draw_pairs(2, 16, 20, np.random.default_rng(7)) for _ in range(2))
    for first, second in zip(once, again, strict=True):
        assert first.shape == (2, 16, 16)
        assert (first == second).all()


def test_mnist_network_learns_two_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    mnist = program(monkeypatch, "mnist", "mnist")
    random = np.random.default_rng(0)
    network = mnist.Network(inputs=4, hidden=8, random=random)
    labels = random.integers(2, size=64)
    images = (random.random((64, 4)) * 0.1 + labels[:, None]).astype("f4")
    losses = [network.update(images, labels, rate=0.1, momentum=0.9) for _ in range(50)]
    assert losses[-1] < 0.05 < losses[0]
    assert network.accuracy(images, labels) == 1


@pytest.mark.parametrize(
    ("selection", "rule"),
    [
        ([(0, 1), (1, 0)], None),
        ([(0, 1), (1, 0), (2, 0), (3, 0)], "the budget is 3"),
        ([(0, 1), (0, 0)], "twice"),
        ([(0, 1), (9, 0)], "image 9 is not in the pool"),
        ([(0, 1), (-1, 0)], "image -1 is not in the pool"),
        ([(0, 1), (1, 1)], "both kinds"),
        ([], "both kinds"),
    ],
)
def test_selection_follows_the_rules(
    monkeypatch: pytest.MonkeyPatch, selection: list[tuple[int, int]], rule: str | None
) -> None:
    contest = program(monkeypatch, "vision_selection", "vision_selection")
    broken = contest.broken_rule(selection, pool=5, budget=3)
    assert broken is None if rule is None else rule in broken


def test_product_is_checked_and_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    matmul = program(monkeypatch, "matmul", "matmul")
    metrics = matmul.multiply(matmul.Shapes(rows=20, inner=30, columns=40, repeats=2))
    assert metrics["correct"] is True
    assert metrics["gflops"] > 0
