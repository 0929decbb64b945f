# SPDX-License-Identifier: Apache-2.0
"""A convolutional network that estimates the noise of an image, in plain NumPy.

Images are arrays (image, row, column, channel). A 3 x 3 convolution puts the nine
neighbours of each pixel into a row of a matrix and multiplies it by the weights; the backward pass
works in the same way.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

KERNEL = 3


def neighbours(images: np.ndarray) -> np.ndarray:
    """Return one row per pixel: its 3 x 3 neighbours in all channels, zero outside the image."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = sliding_window_view(padded, (KERNEL, KERNEL), axis=(1, 2))
    return windows.reshape(-1, images.shape[3] * KERNEL**2)


def convolve(images: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Convolve with *weights* (channels in, 3, 3, channels out); keep the size of the images."""
    product = neighbours(images) @ weights.reshape(-1, weights.shape[3])
    return product.reshape(*images.shape[:3], weights.shape[3])


class Denoiser:
    """Convolutions with rectified linear units between them; the image minus their result.

    Its first answer is the image itself (the last layer starts at zero), so that it learns from
    there what noise looks like.
    """

    def __init__(self, channels: int, layers: int, random: np.random.Generator) -> None:
        widths = [1, *[channels] * (layers - 1), 1]
        self.weights = [
            (random.standard_normal((fan_in, KERNEL, KERNEL, fan_out)) * scale).astype("f4")
            for fan_in, fan_out in pairwise(widths)
            for scale in [np.sqrt(2 / (fan_in * KERNEL**2))]
        ]
        self.weights[-1][:] = 0
        self.biases = [np.zeros(width, "f4") for width in widths[1:]]

    def __call__(self, noisy: np.ndarray) -> np.ndarray:
        """Return the denoised *noisy* (image, row, column)."""
        return noisy - self._forward(noisy)[-1][..., 0]

    def gradients(self, noisy: np.ndarray, clean: np.ndarray) -> tuple[float, list[np.ndarray]]:
        """Return the mean squared error and its derivatives, in the order of `parameters`."""
        inputs = self._forward(noisy)
        error = noisy - inputs[-1][..., 0] - clean
        slope = (-2 / error.size * error)[..., None]

        d_weights, d_biases = [], []
        for layer in reversed(range(len(self.weights))):
            weights = self.weights[layer]
            flat = slope.reshape(-1, slope.shape[3])
            d_weights.append((neighbours(inputs[layer]).T @ flat).reshape(weights.shape))
            d_biases.append(flat.sum(axis=0))
            if layer:
                # The gradient of a convolution is a convolution with the kernel rotated by half a
                # turn and the channels swapped.
                slope = convolve(slope, weights[:, ::-1, ::-1, :].transpose(3, 1, 2, 0))
                slope *= inputs[layer] > 0
        return float((error**2).mean()), [*reversed(d_weights), *reversed(d_biases)]

    @property
    def parameters(self) -> list[np.ndarray]:
        """All weights, then all biases; updates change them in place."""
        return [*self.weights, *self.biases]

    def _forward(self, noisy: np.ndarray) -> list[np.ndarray]:
        """Return the input of each layer, followed by the estimated noise."""
        values = [noisy[..., None]]
        for layer, (weights, bias) in enumerate(zip(self.weights, self.biases, strict=True), 1):
            value = convolve(values[-1], weights) + bias
            values.append(value if layer == len(self.weights) else np.maximum(value, 0))
        return values


class Adam:
    """The optimiser of Kingma and Ba (https://arxiv.org/abs/1412.6980)."""

    def __init__(self, parameters: list[np.ndarray]) -> None:
        self._parameters = parameters
        self._mean = [np.zeros_like(value) for value in parameters]
        self._square = [np.zeros_like(value) for value in parameters]
        self._step = 0

    def update(self, gradients: list[np.ndarray], rate: float) -> None:
        """Change the parameters in place, against *gradients*."""
        self._step += 1
        rate *= np.sqrt(1 - 0.999**self._step) / (1 - 0.9**self._step)
        for index, gradient in enumerate(gradients):
            mean, square = self._mean[index], self._square[index]
            mean += 0.1 * (gradient - mean)
            square += 0.001 * (gradient**2 - square)
            self._parameters[index] -= rate * mean / (np.sqrt(square) + 1e-8)
