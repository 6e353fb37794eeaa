"""`python -m brodmann.cli`."""

import sys

from brodmann.cli import main

sys.exit(main())
