# SPDX-License-Identifier: Apache-2.0
"""The command line: parses, calls a use case, prints, and returns the exit code."""

COMPLETE = "_MLCUBE_REMOTE_COMPLETE"
"""The environment variable with which a shell asks how a command line may continue."""
