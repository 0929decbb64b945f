# SPDX-License-Identifier: Apache-2.0
"""The tasks ``download``, ``train`` and ``test`` of the electron-microscopy denoiser.

Called as MLCube calls them::

    emdenoise.py download --data_config=/mlcube_io0/data.yaml --data_dir=/mlcube_io1
    emdenoise.py train --data_dir=/mlcube_io0 --parameters_file=/mlcube_io1/train.yaml \
        --model_dir=/mlcube_io2 --metrics=/mlcube_io3/train.json
    emdenoise.py test --data_dir=/mlcube_io0 --model_dir=/mlcube_io1 \
        --metrics=/mlcube_io2/test.json --previews=/mlcube_io3

Exit codes: 0 done, 1 an output could not be written, 2 wrong arguments or input, 3 the data
could not be fetched or has another checksum.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import io
import json
import os
import struct
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import yaml
from denoiser import Adam, Denoiser, neighbours
from lattice import draw_pairs

DATASET = "pairs.npz"
MODEL = "model.npz"
PREVIEWS = 4
CHUNK = 1 << 20


@dataclass(frozen=True)
class Data:
    """The source of the images for ``download``."""

    source: str = "auto"
    images: dict[str, int] = field(default_factory=lambda: {"train": 96, "test": 16})
    size: int = 64
    electrons: int = 20
    seed: int = 0
    timeout: int = 10
    url: str = ""
    sha256: dict[str, str] = field(
        default_factory=lambda: {
            f"{part}/graphene_img_{kind}.h5": ""
            for part in ("train", "test")
            for kind in ("noise", "clean")
        }
    )


@dataclass(frozen=True)
class Training:
    """Settings of ``train``."""

    channels: int = 12
    layers: int = 4
    steps: int = 240
    batch: int = 8
    patch: int = 32
    learning_rate: float = 0.004
    report_every: int = 20
    seed: int = 0


class UnreachableError(Exception):
    """No server answers at the URL."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="emdenoise")
    tasks = parser.add_subparsers(dest="task", required=True)
    for task, parameters in {
        "download": ("data_config", "data_dir"),
        "train": ("data_dir", "parameters_file", "model_dir", "metrics"),
        "test": ("data_dir", "model_dir", "metrics", "previews"),
    }.items():
        command = tasks.add_parser(task)
        for parameter in parameters:
            command.add_argument(f"--{parameter}", type=Path, required=True)
    arguments = vars(parser.parse_args())
    task = arguments.pop("task")
    if task == "download":
        download(**arguments)
    elif task == "train":
        train(**arguments)
    else:
        test(**arguments)


def download(data_config: Path, data_dir: Path) -> None:
    """Write the pairs of images to *data_dir*."""
    data = Data(**read_settings(data_config, asdict(Data())))
    if data.source not in {"auto", "em_graphene_sim", "generated"}:
        fail(2, f"source is {data.source!r}, expected auto, em_graphene_sim or generated")
    missing = [name for name, digest in data.sha256.items() if len(digest) != 64]
    if data.source == "em_graphene_sim" and missing:
        fail(2, f"{data_config}: no sha256 for {', '.join(missing)}: enter it to fetch the file")

    pairs = None
    if data.source != "generated" and missing:
        print("em_graphene_sim: no sha256 sums given; drawing lattices instead", flush=True)
    elif data.source != "generated":
        try:
            pairs = fetch_pairs(data)
        except UnreachableError as error:
            if data.source == "em_graphene_sim":
                fail(3, str(error))
            print(f"em_graphene_sim: {error}; drawing lattices instead", flush=True)
    if pairs is None:
        pairs = generate_pairs(data)
    publish(data_dir / DATASET, packed(pairs))
    print(
        f"{len(pairs['train_noisy'])} pairs to train on, {len(pairs['test_noisy'])} to test on",
        flush=True,
    )


def generate_pairs(data: Data) -> dict[str, np.ndarray]:
    random = np.random.default_rng(data.seed)
    pairs = {}
    for part, count in data.images.items():
        noisy, clean = draw_pairs(count, data.size, data.electrons, random)
        pairs |= {f"{part}_noisy": noisy, f"{part}_clean": clean}
    return pairs


def fetch_pairs(data: Data) -> dict[str, np.ndarray]:
    """Fetch, check and crop the images of em_graphene_sim; do not keep the original files."""
    import h5py  # noqa: PLC0415 - not needed for generated data

    pairs: dict[str, np.ndarray] = {}
    for name, digest in data.sha256.items():
        part, _, file = name.partition("/")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, file)
            fetch(f"{data.url}/{name}", digest, path, data.timeout)
            try:
                with h5py.File(path) as archive:
                    images = archive["images"][: data.images[part]]
                images = images.reshape(images.shape[:3]).astype("f4")
            except (OSError, KeyError, ValueError) as error:
                fail(3, f"{name}: no HDF5 file of images: {error}")
        top, left = ((length - data.size) // 2 for length in images.shape[1:])
        if min(top, left) < 0:
            fail(2, f"size is {data.size}, but the images of {name} are smaller")
        kind = "clean" if "clean" in file else "noisy"
        pairs[f"{part}_{kind}"] = images[:, top : top + data.size, left : left + data.size]
    brightest = pairs["train_clean"].max()
    return {name: images / brightest for name, images in pairs.items()}


def fetch(url: str, sha256: str, path: Path, timeout: int) -> None:
    """Fetch *url* into the file *path* and check it."""
    if not url.startswith(("https://", "http://")):
        fail(2, f"{url}: expected an address that starts with https:// or http://")
    print(f"fetching {url}", flush=True)
    # Without a network, do not wait long for the name server: generated data can be used.
    os.environ.setdefault("RES_OPTIONS", "timeout:1 attempts:1")
    digest = hashlib.sha256()
    try:
        with urllib.request.urlopen(url, timeout=timeout) as reply, path.open("wb") as file:  # noqa: S310 - scheme checked above
            while chunk := reply.read(CHUNK):
                digest.update(chunk)
                file.write(chunk)
    except urllib.error.URLError as error:
        if isinstance(error, urllib.error.HTTPError):
            fail(3, f"{url}: {error}")
        raise UnreachableError(f"{url} cannot be reached ({error.reason})") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        fail(3, f"{url}: {error}")
    if digest.hexdigest() != sha256:
        fail(3, f"{url}: sha256 is {digest.hexdigest()}, expected {sha256}")


def train(data_dir: Path, parameters_file: Path, model_dir: Path, metrics: Path) -> None:
    """Train on random patches, print the progress, and write the model and its metrics."""
    training = Training(**read_settings(parameters_file, asdict(Training())))
    pairs = read_arrays(data_dir / DATASET, made_by="download")
    noisy, clean = pairs["train_noisy"], pairs["train_clean"]
    room = noisy.shape[1] - training.patch + 1
    if room < 1:
        fail(
            2, f"{parameters_file}: patch is {training.patch}, images have {noisy.shape[1]} pixels"
        )

    random = np.random.default_rng(training.seed)
    network = Denoiser(training.channels, training.layers, random)
    optimiser = Adam(network.parameters)
    start = time.perf_counter()
    losses = []
    for step in range(1, training.steps + 1):
        batch = random.integers(len(noisy), size=training.batch)
        top, left = random.integers(room, size=2)
        patch = (batch, slice(top, top + training.patch), slice(left, left + training.patch))
        loss, gradients = network.gradients(noisy[patch], clean[patch])
        optimiser.update(gradients, training.learning_rate * (1 - (step - 1) / training.steps))
        losses.append(loss)
        if step % training.report_every == 0:
            recent = np.mean(losses[-training.report_every :])
            print(
                f"step {step}/{training.steps}: PSNR of the last patches "
                f"{-10 * np.log10(recent):.2f} dB, {time.perf_counter() - start:.1f} s",
                flush=True,
            )

    publish(
        model_dir / MODEL,
        packed({f"parameter_{i:02}": value for i, value in enumerate(network.parameters)}),
    )
    result = {
        "loss": float(np.mean(losses[-training.report_every :])),
        "parameters": asdict(training),
    }
    publish(metrics, as_json(result))


def test(data_dir: Path, model_dir: Path, metrics: Path, previews: Path) -> None:
    """Score the model on unseen images, and write previews: noisy, denoised, clean."""
    pairs = read_arrays(data_dir / DATASET, made_by="download")
    parameters = list(read_arrays(model_dir / MODEL, made_by="train").values())
    network = Denoiser(parameters[0].shape[-1], len(parameters) // 2, np.random.default_rng())
    for value, trained in zip(network.parameters, parameters, strict=True):
        value[...] = trained

    noisy, clean = pairs["test_noisy"], pairs["test_clean"]
    denoised = network(noisy)
    smoothed = neighbours(noisy[..., None]).mean(axis=1).reshape(noisy.shape)
    scores = {
        "psnr_noisy": psnr(noisy, clean),
        "psnr_mean_filter": psnr(smoothed, clean),
        "psnr_denoised": psnr(denoised, clean),
        "images": len(noisy),
    }
    for name, score in scores.items():
        print(
            f"{name}: {score:.2f}" if isinstance(score, float) else f"{name}: {score}", flush=True
        )
    for index, triple in enumerate(zip(noisy, denoised, clean, strict=True)):
        if index < PREVIEWS:
            publish(previews / f"{index}.png", png(np.hstack(triple)))
    publish(metrics, as_json(scores))


def psnr(image: np.ndarray, truth: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio in dB, for a peak of 1."""
    return float(-10 * np.log10(((image - truth) ** 2).mean()))


def png(image: np.ndarray) -> bytes:
    """Return *image* (0 black, 1 white) as a PNG file."""
    height, width = image.shape
    grey = (image.clip(0, 1) * 255).astype(np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in grey)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def read_settings(path: Path, defaults: dict[str, Any]) -> dict[str, Any]:
    """Return *defaults*, updated from the YAML file at *path*."""
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        fail(2, f"{path}: {' '.join(str(error).split())}")
    return merged(defaults, given, str(path))


def merged(defaults: dict[str, Any], given: Any, where: str) -> dict[str, Any]:
    if not isinstance(given, dict):
        fail(2, f"{where}: expected a mapping")
    result = dict(defaults)
    for key, value in given.items():
        if key not in defaults:
            fail(2, f"{where}: unknown key {key!r} (known: {', '.join(defaults)})")
        kind = type(defaults[key])
        if kind is dict:
            result[key] = merged(defaults[key], value, f"{where}: {key}")
            continue
        if type(value) is not kind and (kind, type(value)) != (float, int):
            fail(2, f"{where}: {key} is {value!r}, expected {kind.__name__}")
        if kind is not str and value < (kind is int and key != "seed"):
            fail(2, f"{where}: {key} is {value}, expected a positive number")
        result[key] = value
    return result


def read_arrays(path: Path, made_by: str) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except FileNotFoundError:
        fail(2, f"{path}: no such file (the task {made_by} makes it)")
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        fail(2, f"{path}: not a file that the task {made_by} makes: {error}")


def packed(arrays: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def as_json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


def publish(path: Path, content: bytes) -> None:
    """Write *content* to *path* atomically."""
    draft = path.with_name(path.name + ".new")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    except OSError as error:
        fail(1, f"{path}: cannot be written: {error}")


def fail(code: int, message: str) -> NoReturn:
    print(f"emdenoise: {message}", file=sys.stderr, flush=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
