#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Multiply the two numbers of a settings file.
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
settings=$(value parameters_file "$@")
a=$(sed -n 's/^a: //p' "$settings")
b=$(sed -n 's/^b: //p' "$settings")
echo $((a * b)) >"$(value output_file "$@")"
