# SPDX-License-Identifier: Apache-2.0
"""One job's pipeline on its host: connect, upload, configure, run and pull."""
