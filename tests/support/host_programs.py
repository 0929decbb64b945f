# SPDX-License-Identifier: Apache-2.0
"""The programs that the shell library needs on a host."""

_NEEDED = """
cat chmod cksum cp cut date df env find grep head id ln ls mkdir mkfifo mktemp mv nice od readlink
rm rmdir sed sleep sort tail touch tr uname uniq wc xargs
"""
TOOLS = _NEEDED.split()
"""The programs that the library needs on every host."""
