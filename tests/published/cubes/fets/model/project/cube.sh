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
checkpoint=$(value checkpoint_path "$@")
weight=2
[ ! -e "$checkpoint" ] || weight=$(cat "$checkpoint")
[ ! -e "$(value parameters_file "$@")" ] || echo "with settings"
for case in "$(value data_path "$@")"/*; do
    echo $(($(cat "$case/scan") * weight)) >"$(value output_path "$@")/${case##*/}"
done
