# SPDX-License-Identifier: Apache-2.0
"""Run ids, and the records of runs on this machine."""
