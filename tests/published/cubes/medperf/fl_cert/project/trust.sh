#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copy the settings as a certificate.
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

[ "$1" = trust ]
shift
cp "$(value ca_config "$@")" "$(value pki_assets "$@")/root_ca.crt"
