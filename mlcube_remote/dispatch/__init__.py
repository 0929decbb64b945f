# SPDX-License-Identifier: Apache-2.0
"""The pipeline of one job: connect, probe, claim, upload, configure, launch, monitor, pull."""
