# SPDX-License-Identifier: Apache-2.0
"""The submission: which images of the pool are worth a place in the training set?

Edit `Predictor.selection` and run the tasks `select` and `evaluate` again.
"""

from __future__ import annotations

import numpy as np


class Predictor:
    """Takes what is nearest to the examples as positive, and a spread of the rest as negative."""

    def __init__(self, pool: np.ndarray) -> None:
        """Keep the embeddings of the *pool*, one row for each image."""
        self.pool = pool

    def selection(self, examples: np.ndarray, budget: int) -> list[tuple[int, int]]:
        """Choose the training set of one concept.

        Args:
            examples: Embeddings of some images that show the concept.
            budget: How many images may be chosen.

        Returns:
            Pairs of a row of the pool and a guess: 1 if it shows the concept, 0 if not.
        """
        # Nearest to any one example, not to their mean: a concept may come in several shapes.
        offsets = self.pool[:, None, :] - examples[None, :, :]
        order = np.argsort(np.linalg.norm(offsets, axis=2).min(axis=1), kind="stable")
        positive = order[: budget // 3]
        others = order[len(order) // 4 :]
        spread = np.linspace(0, len(others) - 1, budget - len(positive)).astype(int)
        return [(int(row), 1) for row in positive] + [(int(row), 0) for row in others[spread]]
