# SPDX-License-Identifier: Apache-2.0
"""Text and JSON that commands print about hosts, jobs, results and plans."""
