"""Situations for the rules: what images and machines are like."""

from barlowtf.choosing import Look, Machine, Situation, Symmetry
from barlowtf.data import SampleFacts

PROCESSOR = Machine(gpus=0, gpu_memory=None, cores=2, memory=24 * 10**9, bfloat16=True)
GPU = Machine(gpus=1, gpu_memory=80 * 10**9, cores=16, memory=128 * 10**9, bfloat16=True)
HOLDS, BROKEN, UNKNOWN = Symmetry(0.002, 0.002, 0.4), Symmetry(0.05, 0.002, 0.001), Symmetry(0.002, 0.02, 0.4)
PHOTOGRAPHS = Look(HOLDS, BROKEN, 0.19)
CELLS = Look(HOLDS, HOLDS, 1 / 6)
DIGITS = Look(BROKEN, BROKEN, None)


def make_facts(*, images=50_000, side=(32, 32), channels=3, is_gray=False, **changes):
    height, width = side
    facts = {
        "images": images,
        "sampled": 256,
        "unreadable": 0,
        "kinds": {"PNG": 256},
        "heights": (height, height, height),
        "widths": (width, width, width),
        "channels": channels,
        "stored_channels": {channels: 256},
        "has_alpha": False,
        "bits": 8,
        "white": 65535,
        "is_gray": is_gray,
        "mean": (0.5,) * channels,
        "std": (0.25,) * channels,
        "has_labels": False,
        "classes": None,
    }
    return SampleFacts(**{**facts, **changes})


def make_situation(look=PHOTOGRAPHS, machine=PROCESSOR, *, given=None, rung=0, **facts):
    return Situation(make_facts(**facts), look, machine, given=given or {}, rung=rung)
