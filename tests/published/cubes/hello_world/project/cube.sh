#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Append a line to a chat.
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
name=$(cat "$(value name "$@")")
echo "$task, $name" >>"$(value chat "$@")"
