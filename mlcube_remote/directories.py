# SPDX-License-Identifier: Apache-2.0
"""The directory for mlcube-remote's own files on this machine.

It follows the XDG rules on every system, macOS included: platformdirs would move it there.
"""

from __future__ import annotations

import os
from pathlib import Path


def state_home() -> Path:
    """Return the directory for what mlcube-remote keeps about this user's runs.

    It is ``mlcube-remote`` in ``$XDG_STATE_HOME``, or in ``~/.local/state`` if the variable is
    not set or holds a relative path.
    """
    base = os.environ.get("XDG_STATE_HOME", "")
    parent = Path(base) if os.path.isabs(base) else Path.home() / ".local" / "state"
    return parent / "mlcube-remote"
