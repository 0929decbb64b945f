# SPDX-License-Identifier: Apache-2.0
"""The pipeline per host, the fan-out over hosts, and the events both give off."""
