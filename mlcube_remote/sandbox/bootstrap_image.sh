#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# bootstrap_image.sh IMAGE: build the Docker image IMAGE from Debian 12's packages, for machines
# without access to a container registry. Needs root or passwordless sudo, and debootstrap.
# Called by sandbox/engine.py.
set -eu

image=${1:?usage: bootstrap_image.sh IMAGE}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo -n -- "$@"
    fi
}

fail() {
    printf 'bootstrap_image: %s\n' "$1" >&2
    exit 1
}

as_root true 2>/dev/null || fail \
    "no registry answers for $image, and building it here needs root; run as root: sh $0 $image"

if ! PATH="$PATH:/usr/sbin" command -v debootstrap >/dev/null 2>&1; then
    as_root apt-get update -qq >&2
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends debootstrap >&2
fi

tree=$(mktemp -d "${TMPDIR:-/tmp}/mlcube-remote-base.XXXXXX")
trap 'as_root rm -rf -- "$tree"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# ca-certificates: mirrors may use TLS.
as_root debootstrap --variant=minbase --include=ca-certificates bookworm "$tree/root" >"$tree/log" ||
    fail "debootstrap failed: $(tail -n 2 "$tree/log" | tr '\n' ' ')"

# Remove what a container image does not need: package caches, lists, documentation.
# shellcheck disable=SC2016 # $1 is the inner shell's
as_root sh -c '
    cd "$1" || exit
    rm -rf var/cache/apt/* var/lib/apt/lists/* var/log/*.log usr/share/doc/* usr/share/man/* usr/share/locale/*
    printf "%s\n" "path-exclude /usr/share/doc/*" "path-exclude /usr/share/man/*" "path-exclude /usr/share/locale/*" \
        >etc/dpkg/dpkg.cfg.d/slim
' sh "$tree/root"

as_root tar -C "$tree/root" -c . | docker import --change 'CMD ["bash"]' - "$image" >/dev/null ||
    fail "docker import failed for $image"
