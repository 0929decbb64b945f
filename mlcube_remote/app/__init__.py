# SPDX-License-Identifier: Apache-2.0
"""What a command does: the use cases below the command line, the Python API and the runner."""
