# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# Questions to NVIDIA's driver.

# mlcr_gpus: print "NAME, MEMORY" of each GPU, one a line; status 127 where nobody can be asked. What
# nvidia-smi says instead, when its driver does not answer, is on stdout as well.
mlcr_gpus() {
    command -v nvidia-smi >/dev/null 2>&1 || return 127
    mlcr_limited 30 nvidia-smi --query-gpu=name,memory.total --format=csv,noheader
}
