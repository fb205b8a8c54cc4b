"""Keeps what samples of known data look like: which symmetries they have, and how large the things in them are.

Command: python -m benchmarks.symmetry NAME=SPEC..., e.g. cells=bccd/JPEGImages photographs=coco128 digits=digits
"""

import sys
from dataclasses import asdict

from barlowtf import data
from barlowtf.choosing import look_at
from benchmarks import machine

if __name__ == "__main__":
    looks = {}
    for word in sys.argv[1:]:
        name, _, spec = word.partition("=")
        source = data.open_source(spec, "train")
        look = look_at(source)
        looks[name] = {"images": source.size, **asdict(look), "has_upright": look.has_upright}
    machine.write_result("symmetry", {"looks": looks})
