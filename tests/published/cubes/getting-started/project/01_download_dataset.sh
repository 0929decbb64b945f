#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Write the raw data.
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

rooms=$(sed -n 's/^rooms: //p' "$(value parameters_file "$@")")
echo "house $rooms" >"$(value data_dir "$@")/raw_dataset.txt"
