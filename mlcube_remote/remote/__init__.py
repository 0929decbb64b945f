# SPDX-License-Identifier: Apache-2.0
"""The POSIX sh that runs on hosts, shipped as package data."""
