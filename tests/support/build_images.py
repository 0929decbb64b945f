# SPDX-License-Identifier: Apache-2.0
"""Build the images of all kinds of hosts, so that parallel test processes find them."""

from __future__ import annotations

from mlcube_remote.sandbox.engine import ensure_base_image
from mlcube_remote.sandbox.flavours import FLAVOURS
from mlcube_remote.sandbox.images import ensure_image


def main() -> None:
    ensure_base_image()
    for flavour in FLAVOURS.values():
        ensure_image(flavour, print)


if __name__ == "__main__":
    main()
