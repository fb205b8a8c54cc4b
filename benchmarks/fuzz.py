"""Ten thousand recipes, settings and command lines changed at random: each is understood, or one line says why not.

The changes are those of tests/config/test_mutated.py and tests/cli/test_mutated_lines.py, by seeds that the tests do
not use; the first case that breaks the rule ends the trial. A line has fewer than 500 characters, all printable; a
command line that fails has exactly one, no other exception, and leaves nothing behind; a recipe that loads is saved
and read back as it was. Writes results/fuzz.json.

Command: python -m benchmarks.fuzz [--seeds N]
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks import machine

_FIRST_SEED, _RECIPES, _LINES = 1000, 350, 150


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20, help=f"each {_RECIPES} recipes and {_LINES} command lines")
    seeds = range(_FIRST_SEED, _FIRST_SEED + parser.parse_args().seeds)
    import pytest

    from tests.cli.test_mutated_lines import prepare, try_lines
    from tests.config.test_mutated import try_recipes

    started = time.perf_counter()
    recipes = [try_recipes(seed, _RECIPES) for seed in seeds]
    seconds = time.perf_counter() - started
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        prepare(Path(folder), patch)
        lines = [try_lines(seed, _LINES) for seed in seeds]
    count, refused = _RECIPES * len(seeds), sum(refused for refused, _ in recipes)
    result = {
        "seeds": [seeds[0], seeds[-1]],
        "recipes": {
            "tried": count,
            "loaded": count - refused,
            "refused": refused,
            "longest_line": max(longest for _, longest in recipes),
            "seconds": round(seconds, 1),
        },
        "command_lines": {
            "tried": _LINES * len(seeds),
            "by_exit_status": dict(sum((Counter(outcomes) for outcomes, _, _ in lines), Counter())),
            "reached_their_job": sum(arrived for _, arrived, _ in lines),
            "longest_line": max(longest for _, _, longest in lines),
        },
    }
    sys.stderr.write(f"{machine.write_result('fuzz', result)}\n")


if __name__ == "__main__":
    main()
