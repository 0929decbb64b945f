# SPDX-License-Identifier: Apache-2.0
"""What is reported: events, outcomes and exit codes."""
