# SPDX-License-Identifier: Apache-2.0
"""``mlcube.yaml`` becomes a frozen ``Cube``; OmegaConf stays inside."""
