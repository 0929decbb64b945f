# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Questions to the container engine.

# mlcr_print_image_platform IMAGE ENGINE...: print "OS/ARCHITECTURE" of IMAGE; status 1 with the engine's words
# on stderr when there is none or the engine does not answer, 127 when there is no engine.
mlcr_print_image_platform() {
    mlcr_name=$1
    shift
    if ! command -v "$1" >/dev/null 2>&1; then
        echo "$1: not found" >&2
        return 127
    fi
    # Engines' clients are Go programs, which make ready for every core there is: a question needs one.
    export GOMAXPROCS=1
    mlcr_run_limited 30 "$@" image inspect --format '{{.Os}}/{{.Architecture}}' -- "$mlcr_name"
}

# mlcr_print_server_version ENGINE...: print the server's version and architecture, to tell why it cannot be used.
mlcr_print_server_version() {
    if ! command -v "$1" >/dev/null 2>&1; then
        echo "$1: not found" >&2
        return 127
    fi
    mlcr_run_limited 30 "$@" version --format '{{.Server.Version}}'
}

# mlcr_print_client_version EXECUTABLE...: print the version of an engine that has no server.
mlcr_print_client_version() {
    if ! command -v "$1" >/dev/null 2>&1; then
        echo "$1: not found" >&2
        return 127
    fi
    mlcr_run_limited 30 "$@" --version
}

# mlcr_print_socket_access: who may use the Docker socket: its listing, and the groups of this user.
mlcr_print_socket_access() {
    ls -ld -- /var/run/docker.sock 2>&1
    id
}
