"""`python -m sightline`: the command line."""

import sys

from sightline.app.cli import main

sys.exit(main())
