#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Make sure that this machine has rsync, ssh and a Docker engine that this user may use; otherwise
# print in one line what is missing. Called by "make engine", and named in the sandbox's hints.
#
# If everything is installed and running, nothing is changed. Otherwise Debian's packages are
# installed and the engine is started, as root or with passwordless sudo. A docker program on PATH
# is not enough: `docker info` must succeed.
set -eu

LOG=/var/log/mlcube-remote-dockerd.log
PIDFILE=/var/run/mlcube-remote-dockerd.pid
SOCKET=/var/run/docker.sock
START_TIMEOUT_S=60

fail() {
    printf 'ensure_engine: %s\n' "$1" >&2
    exit 1
}

has() {
    # Root starts dockerd and iptables, so search root's PATH, too.
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
        # Needed by allow_user.
        [ "$(id -u)" -eq 0 ] || has setfacl || echo acl
    fi
}

install_packages() {
    has apt-get || fail \
        "not installed: $*; install them, and Docker (https://docs.docker.com/engine/install/)"
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
    # Without an init system, as in a container, the service does not start: start dockerd directly.
    if as_root service docker start >/dev/null 2>&1 && wait_for_engine 15; then
        return 0
    fi
    # The shell in the background must not keep a pipe open that reads the output of this script.
    # A redirection of as_root alone is not enough: a shell keeps the old files to restore them.
    (
        exec </dev/null >/dev/null 2>&1
        as_root sh -c "exec dockerd --pidfile '$PIDFILE' >>'$LOG' 2>&1"
    ) &
    wait_for_engine "$START_TIMEOUT_S"
}

allow_user() {
    # The group takes effect at the next login, the access list lasts until the engine restarts.
    as_root usermod -aG docker "$(id -un)"
    as_root setfacl -m "u:$(id -un):rw" "$SOCKET"
}

missing=$(missing_packages | tr '\n' ' ')
missing=${missing% }
if [ -z "$missing" ] && engine_answers; then
    exit 0
fi

if ! as_root true 2>/dev/null; then
    fail "not available: ${missing:-a Docker engine that this user may use}; run as root: sh $0"
fi

if [ -n "$missing" ]; then
    # shellcheck disable=SC2086 # a list of package names
    install_packages $missing
fi

if ! as_root docker info >/dev/null 2>&1; then
    start_engine || {
        log_end=$(as_root tail -n 3 "$LOG" 2>/dev/null | tr '\n' ' ')
        fail "dockerd did not start; the end of its log: $log_end"
    }
fi

engine_answers || allow_user
engine_answers ||
    fail "the Docker engine runs, but $(id -un) may not use it; log in again, then retry"
