# SPDX-License-Identifier: Apache-2.0
"""Many jobs on many hosts: which job starts next, on which host, and what happens if one fails."""
