"""``python -m xpnn`` is the command line."""

import sys

from xpnn.cli import main

sys.exit(main())
