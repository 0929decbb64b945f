# SPDX-License-Identifier: Apache-2.0
"""The Python API: what the command line does, as functions.

Programs import them from ``mlcube_remote``. A function never asks the user, and prints nothing but
warnings; it passes events to ``on_event``. It returns the outcomes of jobs, and raises an exception
only if it could not start to work.
"""
