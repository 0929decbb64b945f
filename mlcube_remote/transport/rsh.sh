# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# The remote shell of rsync. It passes rsync's bytes through the pipes of a directory to the process
# that has the connection, and exits with the status of the remote command.
#
#   up      the number of words of the command, the words, each with NUL at its end; then rsync's
#           bytes
#   down    the remote command's bytes
#   status  a file: the remote command's exit status
#
# The other ends of the pipes are open before this script starts, and they are removed from the
# directory before they are closed. So this script never waits for a process that does not exist.
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
