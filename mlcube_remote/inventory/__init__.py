# SPDX-License-Identifier: Apache-2.0
"""``hosts.yaml`` and ssh_config become frozen ``Host`` values."""
