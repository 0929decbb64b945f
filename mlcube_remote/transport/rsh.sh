# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# What rsync takes for its remote shell: it passes rsync's bytes on to the process that has the
# connection, through the pipes of a directory, and ends with the remote command's status.
#
#   up      the number of the command's words, the words, each ended by NUL; then rsync's bytes
#   down    the remote command's bytes
#   status  a file: the remote command's exit status
#
# The pipes' other ends are open before this starts, and gone from the directory before they are
# closed: nothing here waits for somebody who does not come.
# Usage: sh rsh.sh DIRECTORY HOST COMMAND...

pipes=$1
shift 2
exec 3<&0 </dev/null
{
    printf '%s\0' "$#" "$@"
    exec cat <&3
} >"$pipes/up" 2>/dev/null &
exec 3<&-
cat <"$pipes/down" 2>/dev/null
read -r code 2>/dev/null <"$pipes/status" || code=255
exit "$code"
