# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# Answer a question of ssh through the process that started it. Secrets pass through named pipes of
# a private directory, and never through an argument or a variable.
#
#   question  the kind of the question, and its text, each with NUL at its end
#   answer    y and the secret, or n: there is no answer
#
# The kind is that of ssh: empty, "confirm", or "none" for a message that needs no answer.
#
# Usage: sh askpass.sh DIRECTORY QUESTION

printf '%s\0%s\0' "${SSH_ASKPASS_PROMPT-}" "$2" >"$1/question" || exit 1
if [ "${SSH_ASKPASS_PROMPT-}" = none ]; then
    exit 0
fi
IFS= read -r line <"$1/answer" || exit 1
case $line in
y*) printf '%s\n' "${line#y}" ;;
*) exit 1 ;;
esac
