#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Write a model into the directory of an input.
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

[ "$1 $2 $3 $4" = "--train True --device cpu" ]
scans=$(wc -l <"$(value inputdata "$@")")
epochs=$(sed -n 's/^epochs: //p' "$(value config "$@")")
echo $((scans * epochs)) >"$(value modeldir "$@")/model"
echo "trained on $scans scans"
