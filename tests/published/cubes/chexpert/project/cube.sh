#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The tasks "download_data", "download_model" and "infer".
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
case $task in
download_data)
    echo 5 >"$(value data_dir "$@")/image"
    echo "$task" >"$(value log_dir "$@")/log"
    ;;
download_model) echo 3 >"$(value model_dir "$@")/weights" ;;
infer)
    image=$(cat "$(value data_dir "$@")/image")
    weights=$(cat "$(value model_dir "$@")/weights")
    echo $((image * weights)) >"$(value out_dir "$@")/inferences.txt"
    echo "$task" >"$(value log_dir "$@")/log"
    ;;
esac
