# SPDX-License-Identifier: Apache-2.0
"""Run the command line with ``python -m mlcube_remote``."""

from mlcube_remote.cli.entry import main

if __name__ == "__main__":
    main()
