#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Compare the certificate with the settings.
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

cmp "$(value ca_config "$@")" "$(value pki_assets "$@")/root_ca.crt"
echo "the certificate is valid"
