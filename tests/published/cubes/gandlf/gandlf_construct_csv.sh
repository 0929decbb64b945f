#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# List the scans.
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

for scan in "$(value inputDir "$@")"/*; do
    echo "${scan##*/}"
done >"$(value output_path "$@")"
