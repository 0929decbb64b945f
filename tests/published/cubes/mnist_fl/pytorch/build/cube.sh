#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The tasks "download", "train" and "evaluate".
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
echo "$task" >"$(value log_dir "$@")/log"
case $task in
download) echo 8 >"$(value data_dir "$@")/images" ;;
train)
    model=$(value model_in "$@")/model
    rounds=0
    [ ! -e "$model" ] || rounds=$(cat "$model")
    echo $((rounds + 1)) >"$(value model_dir "$@")/model"
    echo "{\"round\": $((rounds + 1))}" >"$(value metrics "$@")"
    ;;
evaluate)
    images=$(cat "$(value data_dir "$@")/images")
    rounds=$(cat "$(value model_in "$@")/model")
    echo "{\"score\": $((images * rounds))}" >"$(value metrics "$@")"
    ;;
esac
