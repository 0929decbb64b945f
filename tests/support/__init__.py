# SPDX-License-Identifier: Apache-2.0
"""What several test modules share: hosts, cubes, the command line, broken connections."""
