# SPDX-License-Identifier: Apache-2.0
"""Throw-away SSH hosts on this machine, to try and test everything on."""
