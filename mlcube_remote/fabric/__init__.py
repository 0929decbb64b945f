# SPDX-License-Identifier: Apache-2.0
"""Fabric with the login of mlcube-remote, and tasks for fabfiles.

``Connection`` is a ``fabric.Connection`` that checks host keys and knows the inventory. In a
fabfile, ``from mlcube_remote.fabric import namespace`` gives ``fab -H gpu01 mlcube.run
--task=train``. A fabfile with tasks of its own makes its namespace with the collection ``mlcube``.
"""

from mlcube_remote.fabric.connection import Connection as Connection
from mlcube_remote.fabric.tasks import mlcube as mlcube
from mlcube_remote.fabric.tasks import namespace as namespace
