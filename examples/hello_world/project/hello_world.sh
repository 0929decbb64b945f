#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The tasks `hello` and `bye`, called as MLCube calls them:
#
#     hello_world.sh hello --name=/mlcube_io0/alice.txt --chat=/mlcube_io1/chat_with_alice.txt
#
# The chat is written to a temporary file and renamed, so it is never incomplete.
# Exit codes: 0 done, 1 the chat could not be written, 2 wrong arguments or no usable name.

set -eu

fail() {
    printf 'hello_world: %s\n' "$2" >&2
    exit "$1"
}

task=${1-}
case $task in
    hello | bye) shift ;;
    '') fail 2 'no task given (expected hello or bye)' ;;
    *) fail 2 "unknown task '$task' (expected hello or bye)" ;;
esac

name_file='' chat=''
for argument; do
    case $argument in
        --name=*) name_file=${argument#*=} ;;
        --chat=*) chat=${argument#*=} ;;
        *) fail 2 "unknown argument '$argument' (expected --name=FILE and --chat=FILE)" ;;
    esac
done
[ -n "$name_file" ] || fail 2 '--name=FILE is missing'
[ -n "$chat" ] || fail 2 '--chat=FILE is missing'
[ -f "$name_file" ] || fail 2 "$name_file: no such file (expected a text file with a name in it)"

# read fails on a last line without a newline, but has set the name
IFS= read -r name <"$name_file" || [ -n "$name" ] || fail 2 "$name_file: empty, expected a name"
[ -n "$name" ] || fail 2 "$name_file:1: empty line, expected a name"

case $task in
    hello) line="Hello, $name! Nice to meet you." ;;
    bye) line="Good-bye, $name! It was nice talking to you." ;;
esac

draft=$chat.new
trap 'rm -f "$draft"' EXIT
{
    if [ "$task" = bye ] && [ -f "$chat" ]; then
        cat "$chat" || fail 1 "$chat: cannot be read"
    fi
    printf '%s\n' "$line"
} >"$draft" || fail 1 "$draft: cannot be written"
mv "$draft" "$chat" || fail 1 "$chat: cannot be written"
trap - EXIT

printf '%s\n' "$line"
