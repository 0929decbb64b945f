#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Print the data and the settings.
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

echo "trained on $(cat "$(value dataset_file_path "$@")") with $(cat "$(value parameters_file "$@")")"
