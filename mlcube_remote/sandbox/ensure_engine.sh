#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Leaves this machine with a Docker engine that answers to this user, and with rsync and ssh, or
# says in one line what is missing.
#
# Nothing is touched where all of them are there. Otherwise Debian's packages are installed and
# the engine is started, as root or through passwordless sudo. A docker program on PATH proves
# nothing: only `docker info` does.
set -eu

LOG=/var/log/mlcube-remote-dockerd.log
PIDFILE=/var/run/mlcube-remote-dockerd.pid
SOCKET=/var/run/docker.sock
PATIENCE=60 # seconds for a fresh engine to answer

give_up() {
    printf 'ensure_engine: %s\n' "$1" >&2
    exit 1
}

has() {
    # The programs of root's PATH count, too: dockerd and iptables are started by root.
    PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1
}

engine_answers() {
    docker info >/dev/null 2>&1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo -n -- "$@"
    fi
}

missing_packages() {
    has rsync || echo rsync
    has ssh || echo openssh-client
    if ! engine_answers; then
        has dockerd || echo docker.io
        has iptables || echo iptables
        has debootstrap || echo debootstrap
        # Lets a fresh engine's user in without a new login; see let_user_in.
        [ "$(id -u)" -eq 0 ] || has setfacl || echo acl
    fi
}

install_packages() {
    has apt-get || give_up "not here: $*; install them, and Docker as https://docs.docker.com/engine/install/ says"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

wait_for_engine() {
    left=$1
    until as_root docker info >/dev/null 2>&1; do
        [ "$left" -gt 0 ] || return 1
        left=$((left - 1))
        sleep 1
    done
}

start_engine() {
    # A service that does not start (no init, a container) is no reason to stop: dockerd may run by hand.
    if as_root service docker start >/dev/null 2>&1 && wait_for_engine 15; then
        return 0
    fi
    as_root sh -c "exec dockerd --pidfile '$PIDFILE' >>'$LOG' 2>&1 </dev/null" &
    wait_for_engine "$PATIENCE"
}

let_user_in() {
    # The group counts from the next login on, the access list until the engine's next start.
    as_root usermod -aG docker "$(id -un)"
    as_root setfacl -m "u:$(id -un):rw" "$SOCKET"
}

missing=$(missing_packages | tr '\n' ' ')
missing=${missing% }
if [ -z "$missing" ] && engine_answers; then
    exit 0
fi

if ! as_root true 2>/dev/null; then
    give_up "not here: ${missing:-a Docker engine that answers this user}; run as root: sh $0"
fi

if [ -n "$missing" ]; then
    # shellcheck disable=SC2086 # a list of package names
    install_packages $missing
fi

if ! as_root docker info >/dev/null 2>&1; then
    start_engine || give_up \
        "dockerd does not start; its last words: $(as_root tail -n 3 "$LOG" 2>/dev/null | tr '\n' ' ')"
fi

engine_answers || let_user_in
engine_answers || give_up "the Docker engine runs, but $(id -un) may not use it; log in again, then go on"
