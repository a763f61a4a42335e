"""Runs the command line where `role-lens` is not on the path.

    python -m role_lens.cli fit --out roles.safetensors

All commands and options are those of `role-lens`.
"""

import sys

from role_lens.cli import main

if __name__ == "__main__":
    sys.exit(main())
