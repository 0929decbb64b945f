# SPDX-License-Identifier: Apache-2.0
"""What a person, or a program, sees: consumers of events and outcomes."""
