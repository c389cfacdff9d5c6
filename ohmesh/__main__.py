"""`python -m ohmesh` is the `ohmesh` command."""

import sys

from ohmesh.cli import main

sys.exit(main())
