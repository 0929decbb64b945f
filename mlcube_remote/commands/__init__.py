# SPDX-License-Identifier: Apache-2.0
"""Build commands from cube, task and platform settings. Pure functions, no I/O."""
