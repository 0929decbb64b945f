# SPDX-License-Identifier: Apache-2.0
"""Show a run while it happens: live on a terminal, plain lines elsewhere."""
