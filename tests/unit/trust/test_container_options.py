# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mlcube_remote.commands.model import Options, TaskCommands
from mlcube_remote.errors import PlanError

Make = Callable[..., TaskCommands]

DOCKER = "docker: {{image: i, {}}}\ntasks: {{go: }}\n"
SIF = "singularity: {{image: x.sif, build_file: 'docker://i', {}}}\ntasks: {{go: }}\n"

PRIVILEGED: list[Any] = [
    *[
        (DOCKER, "docker", f"cpu_args: '{option}'")
        for option in (
            "--privileged",
            "--privileged=true",
            "--network=host",
            "--network host",
            "--net host",
            "--net=container:other",
            "--pid=host",
            "--pid host",
            "--ipc=host",
            "--uts=host",
            "--userns=host",
            "--userns host",
            "--cgroupns=host",
            "--cap-add SYS_ADMIN",
            "--cap-add=ALL",
            "--device /dev/kvm",
            "--device=/dev/sda",
            "--device=nvidia.com/gpu=0:rwm,/dev/sda",
            "-v /:/host",
            "-v/:/host",
            "--volume /:/host",
            "--volume=/var/run/docker.sock:/s",
            "--volumes-from other",
            "--mount type=bind,source=/,target=/h",
            "--security-opt seccomp=unconfined",
            "--security-opt=no-new-privileges:false",
            "--runtime=kata",
            "--env-file /etc/shadow",
            "-e AWS_SECRET_ACCESS_KEY",
            "--cidfile /x",
            "--name taken",
            "--label a=b",
            "-d",
            "--detach",
            "--rm -it --privileged",
            "-itd",
            "--init=host",
            "other/image",
            "--unheard-of",
            "--sysctl kernel.x=1",
            "--group-add docker",
            "--pull --privileged",
            "--memory-swap -v/:/host",
            "-p 80:80",
        )
    ],
    (DOCKER, "docker", "--network: host"),
    (DOCKER, "docker", "--security-opt: apparmor=unconfined"),
    (DOCKER, "podman", "cpu_args: --privileged"),
    (DOCKER, "docker", "env_args: --privileged"),
    (DOCKER, "docker", "build_strategy: auto, build_args: --network=host"),
    (DOCKER, "docker", "build_strategy: auto, build_args: '--secret id=x,src=/etc/shadow'"),
    (DOCKER, "docker", "build_args: '--ssh default'"),
    (DOCKER, "docker", "docker: /tmp/evil"),
    (DOCKER, "docker", "docker: docker -H tcp://evil"),
    (DOCKER, "docker", "docker: env docker"),
    (DOCKER, "docker", "docker: sudo -u root docker"),
    (DOCKER, "singularity", "run_args: --bind /:/host"),
    (SIF, "singularity", "run_args: --writable"),
    (SIF, "singularity", "run_args: -B /"),
    (SIF, "singularity", "run_args: --home /home/me"),
    (SIF, "singularity", "private_home: false"),
    (SIF, "singularity", "run_args: --add-caps CAP_SYS_ADMIN"),
    (SIF, "singularity", "run_args: --security uid:0"),
    (SIF, "singularity", "run_args: --network=host"),
    (SIF, "singularity", "run_args: --allow-setuid"),
    (SIF, "singularity", "run_args: -Cw"),
    (SIF, "singularity", "run_args: --fakeroot --no-mount proc"),
    (SIF, "singularity", "--security: 'uid:0'"),
    (SIF, "singularity", "--network: host"),
    (SIF, "singularity", "build_args: --bind /:/host"),
    (SIF, "apptainer", "run_args: --writable"),
    ("apptainer: {{image: x.sif, {}}}\ntasks: {{go: }}\n", "apptainer", "apptainer: ./evil"),
]


@pytest.mark.parametrize(("text", "platform", "setting"), PRIVILEGED)
def test_a_cube_may_not_ask_for_privileges(
    make: Make, text: str, platform: str, setting: str
) -> None:
    with pytest.raises(PlanError) as refused:
        make(text.format(setting), platform)
    assert "cube may" in str(refused.value)
    assert "mlcube.yaml" in str(refused.value)
    assert refused.value.hint is not None
    assert "--trust-cube" in refused.value.hint
    assert make(text.format(setting), platform, trusted=True).run


HARMLESS: list[Any] = [
    (DOCKER, "docker", "cpu_args: '--shm-size=2g --ulimit memlock=-1 -m 4g -m4g --rm --init'"),
    (DOCKER, "docker", "cpu_args: '-e A=1 --env=B=2 -u 1000:1000 --network none --net=bridge'"),
    (DOCKER, "docker", "cpu_args: '--security-opt=no-new-privileges --cap-drop ALL'"),
    (DOCKER, "docker", "gpu_args: '--gpus all --runtime=nvidia --device nvidia.com/gpu=all'"),
    (DOCKER, "docker", "cpu_args: '--userns keep-id --read-only=true'"),
    (DOCKER, "docker", "cpu_args: '--memory-swap -1 --pids-limit -1'"),
    (DOCKER, "docker", "docker: sudo docker"),
    (DOCKER, "docker", "docker: podman, --memory: 4g, --gpus: all, --network: none"),
    (DOCKER, "docker", "build_args: '--no-cache --build-arg A=1', env_args: '-e A=1'"),
    (DOCKER, "docker", "env_args: {-v: /:/x}"),
    (SIF, "singularity", "run_args: '-C --nv --env A=1 --pwd /x -e --fakeroot', --nv: true"),
    (SIF, "singularity", "run_args: '--no-mount home,tmp'"),
    (SIF, "singularity", "build_args: '', --vm-ram: 4g"),
]


@pytest.mark.parametrize(("text", "platform", "setting"), HARMLESS)
def test_a_cube_may_configure_its_container(
    make: Make, text: str, platform: str, setting: str
) -> None:
    assert make(text.format(setting), platform).run


def test_the_user_may_ask_for_anything(make: Make) -> None:
    text = DOCKER.format("cpu_args: --privileged")
    by_override = make(text, overrides=("docker.cpu_args=--pid=host",))
    assert "--pid=host" in by_override.run[-1]
    by_host = make(DOCKER.format(""), host={"docker": {"cpu_args": "--privileged"}})
    assert "--privileged" in by_host.run[-1]
    by_own_file = make(DOCKER.format(""), user={"cpu_args": "--privileged"})
    assert "--privileged" in by_own_file.run[-1]
    by_option = make(DOCKER.format("--network: none"), options=Options(network="host"))
    assert "--network=host" in by_option.run[-1]


def test_a_value_of_the_cube_is_checked_even_if_the_user_has_set_the_key(make: Make) -> None:
    text = DOCKER.format("cpu_args: --pid=host")
    with pytest.raises(PlanError, match=r"mlcube.yaml:.*docker.cpu_args: --pid host"):
        make(text, user={"cpu_args": "--privileged"})
