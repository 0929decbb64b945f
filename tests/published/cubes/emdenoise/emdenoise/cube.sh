#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The tasks "download", "preprocess", "train" and "test".
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
echo "$task" >"$(value log_dir "$@")/$task.log"
case $task in
download) echo 4 0 2 0 1 >"$(value raw_data_dir "$@")/image" ;;
preprocess) tr ' ' '\n' <"$(value raw_data_dir "$@")/image" >"$(value data_dir "$@")/image" ;;
train) sed -n 's/^noise: //p' "$(value parameters_file "$@")" >"$(value model_dir "$@")/noise" ;;
test)
    noise=$(cat "$(value model_dir "$@")/noise")
    grep -v "^$noise\$" "$(value data_dir "$@")/image" >"$(value output_dir "$@")/image"
    ;;
esac
