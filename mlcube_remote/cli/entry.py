# SPDX-License-Identifier: Apache-2.0
"""Where the program starts: it imports nothing before Ctrl-C is safe."""

from __future__ import annotations

import signal
from typing import NoReturn


def main() -> NoReturn:
    """Import the command line, and run it.

    Ctrl-C ends the program at once while it is imported: nothing has started, and Python would
    print where in the imports it was.
    """
    # A shell that starts a program in the background has it ignore Ctrl-C.
    is_usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_usual:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from mlcube_remote.cli.main import main as run  # noqa: PLC0415 - see above

    if is_usual:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run()
