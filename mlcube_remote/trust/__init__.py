# SPDX-License-Identifier: Apache-2.0
"""What a cube may ask for beyond its own directory, and who may say yes."""
