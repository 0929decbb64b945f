# SPDX-License-Identifier: Apache-2.0
"""Simulated images of graphene under an electron microscope.

Each image is a honeycomb of blurred atoms with random rotation and scale and a few missing atoms.
The noisy version is what a detector counts if only a few electrons hit each pixel.
"""

from __future__ import annotations

import numpy as np

ATOM_RADIUS = 1.3  # pixels; the Gaussian's standard deviation
BOND = (4.5, 6.5)  # pixels between neighbours
VACANCIES = 0.04  # share of the atoms that are missing


def draw_pairs(
    count: int, size: int, electrons: float, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return *count* noisy images and their clean versions, with brightness from about 0 to 1."""
    clean = np.stack([draw_lattice(size, random) for _ in range(count)])
    noisy = random.poisson((clean + 0.1) * electrons) / electrons - 0.1
    return noisy.astype("f4"), clean.astype("f4")


def draw_lattice(size: int, random: np.random.Generator) -> np.ndarray:
    """Return one clean image of *size* by *size* pixels."""
    atoms = honeycomb(size, bond=random.uniform(*BOND), random=random)
    atoms = atoms[random.random(len(atoms)) >= VACANCIES]
    pixels = np.arange(size)
    # A round Gaussian is the product of a horizontal and a vertical one, so one matrix product
    # draws all atoms.
    down, across = (
        np.exp(-((pixels - atoms[:, axis, None]) ** 2) / (2 * ATOM_RADIUS**2)) for axis in (0, 1)
    )
    return down.T @ across


def honeycomb(size: int, bond: float, random: np.random.Generator) -> np.ndarray:
    """Return the positions (row, column) of the atoms in and around the image."""
    reach = int(size / bond) + 2
    steps = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2), axis=-1).reshape(-1, 2)
    lattice = bond * np.array([[np.sqrt(3), 0], [np.sqrt(3) / 2, 1.5]])
    cells = steps @ lattice
    atoms = np.concatenate([cells, cells + np.array([0, bond])])

    angle = random.uniform(0, np.pi / 3)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    atoms = atoms @ turn + size / 2 + random.uniform(-bond, bond, size=2)
    margin = 4 * ATOM_RADIUS
    return atoms[((atoms > -margin) & (atoms < size + margin)).all(axis=1)]
