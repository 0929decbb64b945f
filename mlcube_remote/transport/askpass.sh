# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# Answer a question of ssh with a secret of the process that started it. The secret passes through
# named pipes of a private directory, and never through an argument or a variable.
#
#   question  the text of the question, with NUL at its end
#   answer    y and the secret, or n: there is no answer
#
# Usage: sh askpass.sh DIRECTORY QUESTION

printf '%s\0' "$2" >"$1/question" || exit 1
IFS= read -r line <"$1/answer" || exit 1
case $line in
y*) printf '%s\n' "${line#y}" ;;
*) exit 1 ;;
esac
