# SPDX-License-Identifier: Apache-2.0
"""Read ``mlcube.yaml`` into a frozen ``Cube``; the only room that imports OmegaConf."""
