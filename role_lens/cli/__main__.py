"""`python -m role_lens.cli`, the same as `role-lens`."""

import sys

from role_lens.cli import main

if __name__ == "__main__":
    sys.exit(main())
