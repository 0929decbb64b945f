# SPDX-License-Identifier: Apache-2.0
"""Files and documents for other programs: JSON, JSON lines, JUnit."""
