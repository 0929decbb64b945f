#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The tasks "download" and "train".
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
echo "$task" >>"$(value log_dir "$@")/$task.log"
case $task in
download) sed -n 's/^numbers: //p' "$(value data_config "$@")" >"$(value data_dir "$@")/numbers" ;;
train)
    read -r first second third <"$(value data_dir "$@")/numbers"
    steps=$(sed -n 's/^steps: //p' "$(value train_config "$@")")
    echo $(((first + second + third) / steps)) >"$(value model_dir "$@")/model"
    ;;
esac
