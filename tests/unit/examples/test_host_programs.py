# SPDX-License-Identifier: Apache-2.0
"""The programs in hosts/ that list hosts, with answers as each cloud documents them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from mlcube_remote.app.inventory import open_inventory
from mlcube_remote.errors import InventoryError
from mlcube_remote.inventory.model import HostKeys, Inventory

HOSTS = Path(__file__).parents[3] / "hosts"

INSTANCE = {
    "InstanceId": "i-0123456789abcdef0",
    "InstanceType": "p4d.24xlarge",
    "State": {"Code": 16, "Name": "running"},
    "Placement": {"AvailabilityZone": "us-west-2a", "Tenancy": "default"},
    "PrivateIpAddress": "10.0.0.157",
    "PublicIpAddress": "203.0.113.25",
    "Tags": [{"Key": "mlcube", "Value": "yes"}, {"Key": "Name", "Value": "train one"}],
}
AWS = {
    "Reservations": [
        {"ReservationId": "r-1", "Groups": [], "Instances": [INSTANCE]},
        {
            "ReservationId": "r-2",
            "Instances": [
                {**INSTANCE, "InstanceId": "i-0fedcba9876543210", "PublicIpAddress": None}
            ],
        },
    ]
}
GCLOUD = [
    {
        "id": "4711",
        "name": "gpu-1",
        "status": "RUNNING",
        "zone": "https://www.googleapis.com/compute/v1/projects/p/zones/europe-west4-a",
        "machineType": "https://www.googleapis.com/compute/v1/projects/p/zones/z/machineTypes/g2",
        "labels": {"mlcube": "yes"},
        "networkInterfaces": [
            {
                "network": "default",
                "networkIP": "10.164.0.2",
                "accessConfigs": [{"name": "external-nat", "natIP": "203.0.113.7"}],
            }
        ],
    },
    {
        "name": "gpu-1",
        "zone": "projects/p/zones/us-east1-b",
        "machineType": "g2",
        "networkInterfaces": [{"networkIP": "10.142.0.9"}],
    },
]
TERRAFORM = {
    "hosts": {
        "sensitive": False,
        "type": ["object", {"gpu01": "string"}],
        "value": {"gpu01": "203.0.113.9"},
    },
    "vpc_id": {"sensitive": False, "type": "string", "value": "vpc-1"},
}
SKYPILOT = """\
# Added by sky (use `sky stop/down train` to remove)
Host train
  HostName 203.0.113.30
  User sky
  IdentityFile ~/.sky/clients/1/ssh/sky-key
  StrictHostKeyChecking no
  UserKnownHostsFile=/dev/null
  Port 22

Host train-worker1
  HostName 203.0.113.31
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("TERRAFORM", raising=False)
    return tmp_path


def answer(home: Path, program: str, words: str, document: object) -> None:
    """Install a program of a cloud that gives one answer to these words."""
    path = home / "bin" / program
    path.write_text(
        f'#!/bin/sh\ncase "$*" in {words}) ;; *) echo "bad: $*" >&2; exit 2 ;; esac\n'
        f"cat <<'X'\n{json.dumps(document)}\nX\n"
    )
    path.chmod(0o755)


def read(name: str) -> Inventory:
    return open_inventory(str(HOSTS / name))


def test_aws(home: Path) -> None:
    answer(home, "aws", "'ec2 describe-instances --output json --filters '*mlcube*", AWS)
    found = read("aws_ec2.py")
    assert found.hosts["train-one"].address == "203.0.113.25"
    assert found.hosts["i-0fedcba9876543210"].address == "10.0.0.157"
    assert found.hosts["train-one"].host_keys is HostKeys.ACCEPT_NEW
    assert found.groups["us-west-2a"] == ("train-one", "i-0fedcba9876543210")


def test_gcloud(home: Path) -> None:
    answer(home, "gcloud", "'compute instances list --format=json '*", GCLOUD)
    found = read("gcloud.py")
    assert found.hosts["gpu-1"].address == "203.0.113.7"
    assert found.hosts["gpu-1.us-east1-b"].address == "10.142.0.9"
    assert found.groups["europe-west4-a"] == ("gpu-1",)


def test_terraform(home: Path) -> None:
    answer(home, "terraform", "'output -json'", TERRAFORM)
    assert read("terraform.py").hosts["gpu01"].address == "203.0.113.9"


def test_skypilot(home: Path) -> None:
    folder = home / ".sky/generated/ssh"
    folder.mkdir(parents=True)
    (folder / "train").write_text(SKYPILOT)
    found = read("skypilot.py")
    assert found.groups["cluster-train"] == ("train", "train-worker1")
    assert found.hosts["train"].address is None, "ssh knows it"


@pytest.mark.parametrize(
    ("name", "program"),
    [("aws_ec2.py", "aws"), ("gcloud.py", "gcloud"), ("terraform.py", "terraform")],
)
def test_the_error_of_a_cloud_s_program_is_shown(home: Path, name: str, program: str) -> None:
    path = home / "bin" / program
    path.write_text("#!/bin/sh\necho 'Unable to locate credentials' >&2\nexit 253\n")
    path.chmod(0o755)
    with pytest.raises(InventoryError) as caught:
        read(name)
    assert str(caught.value).endswith("failed with exit code 253: Unable to locate credentials")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("ERROR: no account\nPlease run:\n\n  $ log in\n\nto choose one.", "ERROR: no account"),
        ("\n╷\n│ Error: no state\n│ \n│ Run init.\n╵\n", "│ Error: no state"),
        ("Error: the first\nTraceback\nKeyError: 'x'", "Error: the first"),
        ("Traceback:\n  line\nKeyError: 'x'", "KeyError: 'x'"),
    ],
)
def test_the_reason_is_shown_and_not_the_advice_below_it(
    home: Path, said: str, reason: str
) -> None:
    path = home / "bin" / "gcloud"
    path.write_text(f"#!/bin/sh\ncat >&2 <<'X'\n{said}\nX\nexit 1\n")
    path.chmod(0o755)
    with pytest.raises(InventoryError) as caught:
        read("gcloud.py")
    assert str(caught.value).endswith(f"failed with exit code 1: {reason}")


def test_an_output_of_terraform_without_names_is_refused(home: Path) -> None:
    answer(home, "terraform", "'output -json'", {"hosts": {"value": ["203.0.113.9"]}})
    with pytest.raises(InventoryError, match="expected a map of names to addresses"):
        read("terraform.py")
