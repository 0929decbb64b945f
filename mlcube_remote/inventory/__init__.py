# SPDX-License-Identifier: Apache-2.0
"""Read ``hosts.yaml`` and ssh_config into frozen ``Host`` values."""
