# SPDX-License-Identifier: Apache-2.0
"""The command line: parse, call, print. No logic lives here."""
