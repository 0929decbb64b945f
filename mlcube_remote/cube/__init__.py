# SPDX-License-Identifier: Apache-2.0
"""``mlcube.yaml`` becomes a frozen :class:`~mlcube_remote.cube.model.Cube`; OmegaConf stays inside."""
