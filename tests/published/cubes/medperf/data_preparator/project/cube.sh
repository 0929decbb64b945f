#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The tasks "prepare", "sanity_check" and "statistics".
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

task=$1
shift
grep -q '^columns: ' "$(value parameters_file "$@")"
case $task in
prepare)
    paste -d, "$(value data_path "$@")" "$(value labels_path "$@")" \
        >"$(value output_path "$@")/names.csv"
    ;;
sanity_check) grep -q Ada "$(value data_path "$@")/names.csv" && echo "the data is complete" ;;
statistics)
    echo "size: $(grep -c , "$(value data_path "$@")/names.csv")" >"$(value output_path "$@")"
    ;;
esac
