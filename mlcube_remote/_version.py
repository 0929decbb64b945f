# SPDX-License-Identifier: Apache-2.0
"""The version, in a module that imports nothing, so that building and ``--version`` are quick."""

__version__ = "0.1.0"
