# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# What is stored below ROOT, its size and its last use. Called by jobs/ for "hosts disk" and "clean".

# mlcr_report_disk ROOT SECONDS: report each mirror, each directory of data, what jobs and trials
# need, each workspace of a trial whose job was removed, and the images that jobs used. Sizes are in
# KiB; measuring all of them takes SECONDS at most.
mlcr_report_disk() {
    mlcr_expand_home "$1"
    mlcr_root=$mlcr_expanded
    mlcr_deadline=$(($(date +%s) + $2))
    if ! [ -d "$mlcr_root/jobs" ]; then
        mlcr_print_record root "$mlcr_root"
        return 0
    fi
    mlcr_read_file_clock "$mlcr_root/jobs"
    mlcr_print_record root "$mlcr_root"
    mlcr_timeout_s=5
    mlcr_read_uses "$mlcr_root" report
    for mlcr_item in jobs trials; do
        [ ! -d "$mlcr_root/$mlcr_item" ] || {
            mlcr_print_record item "$mlcr_item"
            mlcr_report_size "$mlcr_root/$mlcr_item"
        }
    done
    for mlcr_kind in cubes workspaces data trials; do
        # A link would lead to things that are not ours.
        [ ! -L "$mlcr_root/$mlcr_kind" ] || continue
        for mlcr_path in "$mlcr_root/$mlcr_kind"/* "$mlcr_root/$mlcr_kind"/.removed.*; do
            [ -d "$mlcr_path" ] && [ ! -L "$mlcr_path" ] || continue
            # With its job, the workspace of a trial counts only in the sum of all.
            [ $mlcr_kind != trials ] || [ ! -e "$mlcr_root/jobs/${mlcr_path##*/}" ] || continue
            mlcr_report_item "$mlcr_kind/${mlcr_path##*/}"
            mlcr_report_size "$mlcr_path"
            mlcr_report_sif_sizes "$mlcr_path"
        done
    done
    mlcr_report_images
}

# mlcr_report_item KEY: report what is known of KEY besides its size.
mlcr_report_item() {
    mlcr_print_record item "$1"
    mlcr_read_last_use "$mlcr_root" "$1"
    [ -z "$mlcr_last_use" ] || mlcr_print_record age $((mlcr_now - mlcr_last_use))
    ! mlcr_is_in_use "$1" || mlcr_print_record live yes
    [ -n "$mlcr_stamp" ] || return 0
    {
        IFS= read -r mlcr_client
        IFS= read -r mlcr_value
    } <"$mlcr_stamp"
    mlcr_print_record client "$mlcr_client"
    mlcr_print_record name "$mlcr_value"
    [ ! -s "$mlcr_stamp.unpulled" ] || while read -r mlcr_value; do
        mlcr_print_record unpulled "$mlcr_value"
    done <"$mlcr_stamp.unpulled"
}

# mlcr_report_size DIRECTORY: report its size, and "atleast" if it could not be measured to its end:
# then the size is that of the largest part that was measured.
mlcr_report_size() {
    mlcr_seconds=$((mlcr_deadline - $(date +%s)))
    if [ "$mlcr_seconds" -le 0 ] || ! command -v timeout >/dev/null 2>&1 ||
        ! command -v du >/dev/null 2>&1; then
        mlcr_print_record atleast 0
        return 0
    fi
    # du prints the size of each directory once it has measured all that is in it.
    {
        mlcr_run_limited "$mlcr_seconds" nice du -xk -- "$1" 2>/dev/null
        echo "end $?"
    } | sort -n | sed -n '/^end [0-9]*$/p; $p' | {
        read -r _ mlcr_status
        read -r mlcr_kib _
        case $mlcr_kib in '' | *[!0-9]*) mlcr_kib=0 ;; esac
        if [ "$mlcr_status" = 0 ]; then
            mlcr_print_record size "$mlcr_kib"
        else
            mlcr_print_record atleast "$mlcr_kib"
        fi
    }
}

# mlcr_report_sif_sizes DIRECTORY: report the size of each SIF image that was built in DIRECTORY, as
# far as it is where images are by default.
mlcr_report_sif_sizes() {
    for mlcr_file in "$1"/.*.recipe "$1"/workspace/.image/.*.recipe; do
        [ -f "$mlcr_file" ] || continue
        mlcr_image_file=${mlcr_file##*/.}
        mlcr_image_file=${mlcr_file%/*}/${mlcr_image_file%.recipe}
        [ ! -f "$mlcr_image_file" ] || [ -L "$mlcr_image_file" ] ||
            mlcr_print_record sif "$(mlcr_print_size "$mlcr_image_file")"
    done
}

# mlcr_report_images: report each image that jobs used and the engine still has: its size in bytes,
# and "built" if a client built it for this user.
mlcr_report_images() {
    mlcr_read_user
    for mlcr_path in "$mlcr_root"/used/images/*; do
        [ -f "$mlcr_path" ] || continue
        # An engine that hangs must not hold up the answer.
        [ "$(date +%s)" -lt $((mlcr_deadline + 60)) ] || break
        mlcr_read_image "images/${mlcr_path##*/}" || continue
        mlcr_report_item "images/${mlcr_path##*/}"
        mlcr_print_record bytes "${mlcr_about%% *}"
        [ "${mlcr_about#* }" != "$mlcr_uid $mlcr_image" ] || mlcr_print_record built yes
    done
}

# mlcr_read_image KEY: set mlcr_image, mlcr_engine and mlcr_about ("BYTES OWNER NAME", the last two
# from our labels) for an image that jobs used; fail if the engine does not have it. An image that is
# built from another one inherits its labels, so one of them is the image's own name.
mlcr_read_image() {
    {
        read -r _
        IFS= read -r mlcr_image
        read -r mlcr_engine
    } <"$mlcr_root/used/$1" || return 1
    mlcr_labels="$(mlcr_print_label_template owner) $(mlcr_print_label_template image)"
    # shellcheck disable=SC2086 # words
    mlcr_about=$(
        export GOMAXPROCS=1
        mlcr_limit_signal=KILL
        mlcr_run_limited 15 $mlcr_engine image inspect --format \
            "{{.Size}} $mlcr_labels" -- "$mlcr_image" 2>/dev/null
    )
}
