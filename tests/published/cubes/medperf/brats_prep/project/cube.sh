#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The tasks "prepare", "sanity_check" and "statistics".
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
data=$(value data_path "$@")
labels=$(value labels_path "$@")
case $task in
prepare)
    cp "$data/scan" "$(value output_path "$@")/scan"
    cp "$labels/scan" "$(value output_labels_path "$@")/scan"
    echo "prepared: 1" >"$(value report_file "$@")"
    echo "site: 1" >"$(value metadata_path "$@")/site.yaml"
    ;;
sanity_check) [ -s "$data/scan" ] && [ -s "$labels/scan" ] && echo "the data is complete" ;;
statistics)
    site=$(sed -n 's/^site: //p' "$(value metadata_path "$@")/site.yaml")
    echo "$(cat "$labels/scan"): $(cat "$data/scan") at site $site" >"$(value output_path "$@")"
    ;;
esac
