# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Questions to the container engine. Called by facts/.

# mlcr_print_image_platform IMAGE ENGINE...: print three lines: "OS/ARCHITECTURE ID
# [REPOSITORY@DIGEST ...]" of IMAGE, the label that says what it was built from, and the version of
# the engine; status 1 with the engine's message on stderr if there is no such image or the engine
# does not answer, 127 if the engine is not installed.
mlcr_print_image_platform() {
    mlcr_name=$1
    shift
    if ! command -v "$1" >/dev/null 2>&1; then
        echo "$1: not found" >&2
        return 127
    fi
    # The clients are Go programs, which prepare for every core; a question needs one.
    export GOMAXPROCS=1
    mlcr_sources=$(mlcr_print_label_template sources)
    mlcr_run_limited 30 "$@" image inspect --format "{{.Os}}/{{.Architecture}} {{.Id}} {{.RepoDigests}}
$mlcr_sources" -- "$mlcr_name" || return
    mlcr_print_engine_version "$@"
}

# mlcr_print_label_template NAME: print the template for a label of ours; an image may have no labels.
mlcr_print_label_template() {
    mlcr_template="{{with index . \"org.mlcommons.mlcube-remote.$1\"}}{{.}}{{end}}"
    printf '{{with .Config}}{{with .Labels}}%s{{end}}{{end}}' "$mlcr_template"
}

# mlcr_print_server_version ENGINE...: print the version of the engine's server; the error message
# says why the engine cannot be used.
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

# mlcr_print_engine_info TEMPLATE EXECUTABLE...: print what the template makes of the engine's "info".
mlcr_print_engine_info() {
    mlcr_template=$1
    shift
    mlcr_run_limited 30 "$@" info --format "$mlcr_template" 2>/dev/null
}

# mlcr_print_socket_access: print the owner and mode of the Docker socket, and this user's groups.
mlcr_print_socket_access() {
    ls -ld -- /var/run/docker.sock 2>&1
    id
}
