#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The three tasks; the second one writes into its input.
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
download_data) echo "house 3" >"$(value data_dir "$@")/raw_dataset.txt" ;;
preprocess_data)
    data=$(value data_dir "$@")
    tr ' ' , <"$data/raw_dataset.txt" >"$data/processed_dataset.csv"
    ;;
train)
    echo "trained on $(cat "$(value dataset_file_path "$@")")" \
        "with $(cat "$(value parameters_file "$@")")"
    ;;
esac
