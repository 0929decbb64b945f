#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""List the machines of a Terraform configuration, as an inventory of mlcube-remote.

Copy this file into the directory of the configuration, and add an output with names and addresses:

    output "hosts" {
      value = { for each in aws_instance.gpu : each.tags.Name => each.public_ip }
    }

    mlcube-remote hosts list --inventory terraform/terraform.py

It runs in that directory. With OpenTofu, set TERRAFORM=tofu.
"""

import json
import os
import subprocess

DEFAULTS = {
    "user": "ubuntu",
    "host_keys": "accept-new",
    "known_hosts": "~/.ssh/known_hosts.cloud",
    "connect_timeout": 20,
}

asked = subprocess.run(
    [os.environ.get("TERRAFORM", "terraform"), "output", "-json"],
    check=False,
    stdout=subprocess.PIPE,
)
if asked.returncode != 0:
    raise SystemExit(asked.returncode)  # the program has said why
outputs = json.loads(asked.stdout)
if "hosts" not in outputs:
    raise SystemExit("terraform: expected an output with the name hosts (see the top of this file)")
addresses = outputs["hosts"]["value"]
if not isinstance(addresses, dict):
    raise SystemExit("terraform: expected a map of names to addresses as the output hosts")
hosts = {name: {"address": address} for name, address in addresses.items()}
print(json.dumps({"defaults": DEFAULTS, "hosts": hosts}))
