# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# Questions to NVIDIA's driver.

# mlcr_list_gpus: print "NAME, MEMORY" of each GPU, one a line; status 127 where nobody can be asked. What
# nvidia-smi says instead, when its driver does not answer, is on stdout as well. Some machines have
# devices and no nvidia-smi.
mlcr_list_gpus() {
    if ! command -v nvidia-smi >/dev/null 2>&1; then
        for mlcr_device in /dev/nvidia0 /dev/nvhost-gpu /dev/dxg; do
            [ -e "$mlcr_device" ] || continue
            echo "$mlcr_device"
            return 0
        done
        return 127
    fi
    mlcr_run_limited 30 nvidia-smi --query-gpu=name,memory.total --format=csv,noheader
}
