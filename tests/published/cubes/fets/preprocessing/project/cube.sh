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
data=$(value data_path "$@")
scale=$(sed -n 's/^scale: //p' "$(value parameters_file "$@")")
case $task in
prepare)
    while IFS=, read -r scan label; do
        echo "$label $(($(cat "$data/$scan") * scale))" >"$(value output_path "$@")/$scan"
    done <"$(value labels_path "$@")"
    ;;
sanity_check) [ -e "$data/scan_1" ] && echo "the data is complete" ;;
statistics)
    output=$(value output_path "$@")
    set -- "$data"/*
    echo "scans: $#" >"$output"
    ;;
esac
