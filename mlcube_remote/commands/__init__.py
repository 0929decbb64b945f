# SPDX-License-Identifier: Apache-2.0
"""The command builder: cube, task and platform settings become argv. Pure functions, no I/O."""
