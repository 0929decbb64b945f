# SPDX-License-Identifier: Apache-2.0
"""What a host is and what it is doing: the probe, the check, its usage and its GPUs."""
