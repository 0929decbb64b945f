# SPDX-License-Identifier: Apache-2.0
"""A job on its host: its handle, launch, log, state and removal."""
