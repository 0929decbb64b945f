#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The task "evaluate".
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
predicted=$(cat "$(value predictions "$@")/patient_1")
expected=$(cat "$(value labels "$@")/patient_1")
metric=$(sed -n 's/^metric: //p' "$(value parameters_file "$@")")
echo "$metric: $((predicted - expected))" >"$(value output_path "$@")"
