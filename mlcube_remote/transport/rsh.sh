# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# rsync's remote shell: pass rsync's bytes through pipes to the process that has the connection, and
# exit with the status of the remote command. Started by rsync; the other side is relay.py.
#
#   up      a pipe: the number of the command's words and the words, each followed by NUL; then
#           rsync's bytes
#   down    a pipe: the output of the remote command
#   status  a file: the exit status of the remote command
#
# relay.py opens its ends of the pipes before this program starts, and deletes the pipes before it
# closes them: opening them here never blocks.
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
