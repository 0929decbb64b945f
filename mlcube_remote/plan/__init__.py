# SPDX-License-Identifier: Apache-2.0
"""What would be done, worked out before any host is asked: jobs, paths, trials. No I/O on hosts."""
