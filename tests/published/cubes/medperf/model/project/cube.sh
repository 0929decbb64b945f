#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The task "infer".
set -eu

# value NAME ARGUMENT...: print the value of --NAME=VALUE.
value() {
    wanted=$1
    shift
    for argument; do
        case $argument in
        "--$wanted="*)
            printf '%s' "${argument#*=}"
            return
            ;;
        esac
    done
    echo "--$wanted is missing" >&2
    exit 2
}

shift
greeting=$(cat "$(value greetings "$@")")
grep -q '^uppercase: false' "$(value parameters_file "$@")"
while read -r name; do
    echo "$greeting, $name"
done <"$(value data_path "$@")/names.csv" >"$(value output_path "$@")/predictions.csv"
