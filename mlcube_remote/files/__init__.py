# SPDX-License-Identifier: Apache-2.0
"""What travels between this machine and a host: uploads, downloads and checksums."""
