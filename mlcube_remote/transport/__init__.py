# SPDX-License-Identifier: Apache-2.0
"""Connections: run a function of the shell library on a host, stream its output, rsync."""
