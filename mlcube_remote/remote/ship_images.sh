# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Images that travel from one machine to others. Called by dispatch/. What is on its way is below
# images/ in ROOT, in a private directory for each image and client; it is removed once the engine
# has it. A compressed archive is what the engine's "save" writes, without the layers that the
# receiver has.

# mlcr_open_staging ROOT NAME ENGINE...: create the private directory NAME for an image, and print
# its path, the free KiB of its file system, and those of the engine's store; "-" if the engine says
# nothing about a store.
mlcr_open_staging() {
    mlcr_staging=$1/images/$2
    mlcr_make_private_directories "$1" "$1/images" "$mlcr_staging" || return 1
    shift 2
    printf '%s\n' "$mlcr_staging"
    mlcr_print_free_space "$mlcr_staging"
    mlcr_store=$(mlcr_print_engine_info '{{.DockerRootDir}}' "$@") ||
        mlcr_store=$(mlcr_print_engine_info '{{.Store.GraphRoot}}' "$@")
    [ -d "$mlcr_store" ] && mlcr_print_free_space "$mlcr_store" || echo -
}

# mlcr_close_staging ROOT NAME: remove the directory NAME for an image.
mlcr_close_staging() {
    rm -rf -- "$1/images/$2"
}

# mlcr_print_image_content IMAGE ENGINE...: print what decides how IMAGE behaves: its layers and its
# configuration. Two stores of Docker give one image two ids; its content is the same.
mlcr_print_image_content() {
    mlcr_name=$1
    shift
    mlcr_run_limited 30 "$@" image inspect --format '{{.Os}} {{.Architecture}} {{.RootFS.Layers}}
{{json .Config.Env}} {{json .Config.Entrypoint}} {{json .Config.Cmd}} {{.Config.User}} {{.Config.WorkingDir}}
{{.Size}}' -- "$mlcr_name"
}

# mlcr_count_layers LAYERS ENGINE...: print how many of LAYERS, from the first one on, an image of
# this engine has. LAYERS are digests with a space behind each. Only Docker's own store loads an
# archive without the layers that it has, so for all others print 0.
mlcr_count_layers() {
    mlcr_wanted=$1
    shift
    case $(mlcr_print_engine_info '{{.DriverStatus}}' "$@") in
    '' | *io.containerd*)
        echo 0
        return
        ;;
    esac
    # More images than these are not searched.
    mlcr_run_limited 30 "$@" image ls --quiet --no-trunc | sort -u | head -n 500 |
        xargs "$@" image inspect --format '{{range .RootFS.Layers}}{{.}} {{end}}' -- 2>/dev/null |
        {
            mlcr_most=0
            while IFS= read -r mlcr_layers; do
                mlcr_count_common "$mlcr_layers"
                [ "$mlcr_common" -le "$mlcr_most" ] || mlcr_most=$mlcr_common
            done
            echo "$mlcr_most"
        }
}

# mlcr_count_common LAYERS: set mlcr_common to the number of first words that mlcr_wanted and LAYERS
# have in common.
mlcr_count_common() {
    mlcr_common=0
    mlcr_prefix=
    for mlcr_layer in $mlcr_wanted; do
        mlcr_prefix="$mlcr_prefix$mlcr_layer "
        case $1 in
        "$mlcr_prefix"*) mlcr_common=$((mlcr_common + 1)) ;;
        *) return ;;
        esac
    done
}

# mlcr_save_image ROOT NAME OMITTED IMAGE ENGINE...: write IMAGE as a compressed archive into the
# private directory NAME, without its first OMITTED layers. Print its path, its size, its SHA-256 and
# the number of layers that it lacks: 0 if this host's tar cannot leave out any.
mlcr_save_image() {
    mlcr_staging=$1/images/$2
    mlcr_omitted=$3
    mlcr_image_name=$4
    mlcr_make_private_directories "$1" "$1/images" "$mlcr_staging" || return 1
    shift 4
    mlcr_find_layer_files "$@"
    mlcr_archive=$mlcr_staging/image-$mlcr_omitted.tar.gz
    rm -f -- "$mlcr_staging/saved" "$mlcr_staging/reduced"
    # The status of a pipe is that of its last command.
    { "$@" save "$mlcr_image_name" && true >"$mlcr_staging/saved"; } |
        { mlcr_leave_out_layers && true >"$mlcr_staging/reduced"; } |
        gzip -n -1 >"$mlcr_archive" &&
        [ -e "$mlcr_staging/saved" ] && [ -e "$mlcr_staging/reduced" ] || {
        rm -rf -- "$mlcr_staging"
        return 1
    }
    mlcr_describe_file "$mlcr_archive" && echo "$mlcr_omitted"
}

# mlcr_find_layer_files ENGINE...: set mlcr_layer_files to the files of the first mlcr_omitted layers
# in an archive of mlcr_image_name. Set mlcr_omitted to 0 if they cannot be left out.
mlcr_find_layer_files() {
    mlcr_layer_files=
    [ "$mlcr_omitted" -gt 0 ] || return 0
    mlcr_listed=
    case $(tar --version 2>/dev/null) in
    *'GNU tar'*)
        # The list of layers comes last, so the archive is written twice.
        mlcr_listed=$("$@" save "$mlcr_image_name" | tar -xOf - manifest.json 2>/dev/null |
            sed -n 's/.*"Layers":\[\([^]]*\)\].*/\1/p' | tr -d '"' | tr ',' ' ')
        ;;
    esac
    case $mlcr_listed in
    '' | *[!A-Za-z0-9/._\ -]*)
        mlcr_omitted=0
        return
        ;;
    esac
    mlcr_number=0
    mlcr_first_files=
    mlcr_kept_files=' '
    for mlcr_file in $mlcr_listed; do
        mlcr_number=$((mlcr_number + 1))
        if [ "$mlcr_number" -le "$mlcr_omitted" ]; then
            mlcr_first_files="$mlcr_first_files $mlcr_file"
        else
            mlcr_kept_files="$mlcr_kept_files$mlcr_file "
        fi
    done
    for mlcr_file in $mlcr_first_files; do
        case "$mlcr_kept_files$mlcr_layer_files " in
        *" $mlcr_file "*) ;; # two layers can be equal
        *) mlcr_layer_files="$mlcr_layer_files $mlcr_file" ;;
        esac
    done
}

# mlcr_leave_out_layers: copy an archive without mlcr_layer_files from standard input to standard
# output.
mlcr_leave_out_layers() {
    if [ -z "$mlcr_layer_files" ]; then
        cat
    else
        # shellcheck disable=SC2086 # words
        tar --delete -f - -- $mlcr_layer_files
    fi
}

# mlcr_describe_file FILE: print its path, its size and its SHA-256.
mlcr_describe_file() {
    mlcr_compute_checksum "$1" || return
    printf '%s\n%s\n%s\n' "$1" "$(mlcr_print_size "$1")" "$mlcr_checksum"
}

# mlcr_check_arrived FILE DIGEST: fail if FILE is not what was sent.
mlcr_check_arrived() {
    mlcr_compute_checksum "$1" || return
    [ "$mlcr_checksum" = "$2" ] || {
        echo "$1 is not what was sent (SHA-256 $2)" >&2
        return 1
    }
}

# mlcr_load_image FILE DIGEST LIMIT IMAGE ID ENGINE...: load a compressed archive that has this
# SHA-256, and give the image ID the name IMAGE. Status 124: that took more than LIMIT seconds.
mlcr_load_image() {
    mlcr_check_arrived "$1" "$2" || return
    mlcr_archive=$1
    mlcr_limit=$3
    mlcr_image_name=$4
    mlcr_id=$5
    shift 5
    # The engine may be stuck so deep that only this signal ends its client.
    gzip -dc <"$mlcr_archive" |
        mlcr_limit_signal=KILL mlcr_run_limited "$mlcr_limit" "$@" load || {
        mlcr_status=$?
        [ "$mlcr_status" -ne 137 ] || mlcr_status=124
        return "$mlcr_status"
    }
    mlcr_found=$(mlcr_run_limited 30 "$@" image inspect --format '{{.Id}}' -- "$mlcr_image_name" 2>/dev/null)
    [ "${mlcr_found#sha256:}" != "$mlcr_id" ] || return 0
    # Podman and Docker write short names differently. A store that gives other ids has the name.
    ! mlcr_run_limited 30 "$@" image inspect --format '{{.Id}}' -- "$mlcr_id" >/dev/null 2>&1 ||
        mlcr_run_limited 30 "$@" tag "$mlcr_id" "$mlcr_image_name"
}

# mlcr_install_sif FILE DIGEST KIND LIMIT CHECKED ROOT CUBE WORKSPACE IMAGE SOURCE COUNT WORD...: put
# an image file in place as if it had been built here; see sif_images.sh. KIND says what FILE is:
# "sif", or "archive", a compressed archive of Docker or Podman that is converted. CHECKED is "yes"
# for a cube that is not trusted.
mlcr_install_sif() {
    mlcr_check_arrived "$1" "$2" || return
    mlcr_shipped=$1
    mlcr_shipped_kind=$3
    mlcr_limit=$4
    mlcr_is_checked=$5
    shift 5
    mlcr_build_sif "$@"
    mlcr_status=$?
    [ "$mlcr_status" -ne 137 ] || mlcr_status=124
    return "$mlcr_status"
}

# mlcr_make_shipped_sif TARGET WORD...: make the file TARGET from what was sent, with a build command
# WORD... that lacks its last two words.
mlcr_make_shipped_sif() {
    mlcr_target=$1
    shift
    if [ "$mlcr_shipped_kind" = sif ]; then
        cp -- "$mlcr_shipped" "$mlcr_target"
        return
    fi
    # Apptainer reads no compressed archive.
    mlcr_unpacked=${mlcr_target%/*}/.image.tar
    gzip -dc <"$mlcr_shipped" >"$mlcr_unpacked" || return 1
    (
        cd -- "${mlcr_target%/*}" &&
            mlcr_limit_signal=KILL mlcr_run_limited "$mlcr_limit" "$@" "$mlcr_target" \
                docker-archive:.image.tar
    )
}

# mlcr_note_origin ROOT IMAGE TEXT: remember which image the image file IMAGE was made from.
mlcr_note_origin() {
    mlcr_make_private_directories "$1" "$1/images" || return 1
    mlcr_write_atomically "$1/images/origin-$(printf '%s' "$2" | cksum | tr -d ' \t')" "$3"
}

# mlcr_print_origin ROOT IMAGE: print the TEXT of mlcr_note_origin; nothing if there is none.
mlcr_print_origin() {
    mlcr_origin=$1/images/origin-$(printf '%s' "$2" | cksum | tr -d ' \t')
    [ ! -f "$mlcr_origin" ] || mlcr_print_line "$mlcr_origin"
}
