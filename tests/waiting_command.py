"""A command that never ends by itself: writes its number and waits, tied to its standard input."""

import os
import sys
import time
from pathlib import Path

from barlowtf.launching.tethered import tether

if __name__ == "__main__":
    tether()
    place = Path(sys.argv[1])
    aside = place.with_suffix(".aside")
    aside.write_text(str(os.getpid()))
    aside.rename(place)
    time.sleep(3600)
