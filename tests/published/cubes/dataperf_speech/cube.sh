#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The tasks "download", "select" and "evaluate".
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
download)
    data=$(value output_path "$@")/en_data
    mkdir -p "$data/train_embeddings" "$data/eval_embeddings"
    echo yes >"$data/train_embeddings/1"
    echo no >"$data/eval_embeddings/1"
    echo allowed >"$data/allowed_training_set.yaml"
    echo eval >"$data/eval.yaml"
    ;;
select)
    cat "$(value config_file "$@")" "$(value allowed_training_set "$@")" \
        "$(value train_embeddings_dir "$@")/1" >"$(value outdir "$@")/en_train.json"
    ;;
evaluate)
    cat "$(value train_file "$@")" "$(value eval_file "$@")" \
        "$(value eval_embeddings_dir "$@")/1" >"$(value log_path "$@")"
    ;;
esac
