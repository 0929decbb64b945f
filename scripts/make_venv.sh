#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# make_venv.sh FOLDER: create a virtual environment with the first suitable Python, or with $PYTHON.
# If there is none, install Debian's python3-venv, as root or with passwordless sudo: Debian's
# python3 lacks ensurepip, and small machines have no python3. Called by the Makefile.
set -eu

folder=${1:?usage: make_venv.sh FOLDER}

fail() {
    printf 'make_venv: %s\n' "$1" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo -n -- "$@"
    fi
}

find_python() {
    for python in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.10}; do
        if "$python" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            echo "$python"
            return 0
        fi
    done
    return 1
}

if ! find_python >/dev/null; then
    needed='Python 3.10 or later with venv is needed'
    command -v apt-get >/dev/null || fail "$needed"
    as_root true 2>/dev/null || fail "$needed; run: sudo apt-get install python3-venv"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
fi

python=$(find_python) ||
    fail "Python 3.10 or later is needed; set its path: make PYTHON=/path/to/python"
exec "$python" -m venv "$folder"
