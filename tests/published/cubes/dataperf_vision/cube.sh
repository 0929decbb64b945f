#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The tasks "download", "create_baselines", "evaluate" and "plot".
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
    cd "$(value output_path "$@")"
    # Both must be new: this task runs before those that read them.
    mkdir embeddings data
    echo 3 >embeddings/vectors
    echo 4 >data/truth
    ;;
create_baselines)
    cat "$(value embedding_folder "$@")/vectors" >"$(value submission_folder "$@")/baseline"
    ;;
evaluate)
    truth=$(cat "$(value groundtruth_folder "$@")/truth")
    baseline=$(cat "$(value submission_folder "$@")/baseline")
    echo $((truth * baseline)) >"$(value results_folder "$@")/score"
    ;;
plot) echo "score $(cat "$(value results_folder "$@")/score")" ;;
esac
