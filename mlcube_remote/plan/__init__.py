# SPDX-License-Identifier: Apache-2.0
"""Plan jobs: hosts, paths, data, commands, sweep points. Nothing here contacts a host."""
