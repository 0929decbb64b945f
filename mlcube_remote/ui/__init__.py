# SPDX-License-Identifier: Apache-2.0
"""How a run is shown to users and programs, from its events and outcomes."""
