"""What `train.deterministic = true` costs, and whether runs without it differ on a CPU.

Fresh processes take turns, with and without deterministic kernels: recipe digits (real data, loop, device part of the
augmentation), float32, two threads. Each reports its seconds a step and a checksum of the weights after its last step.

Command: python -m benchmarks.determinism [--quick]
"""

import argparse
import hashlib
import json
import statistics
import sys
import time

from benchmarks import machine

THREADS = 2


def run(deterministic: bool, steps: int) -> dict[str, object]:
    """Returns the seconds of each step after the first, and the SHA-256 of all weights at the end."""
    import tensorflow as tf

    from barlowtf.config import load_recipe
    from barlowtf.encoders.building import build_model
    from barlowtf.experiment import training_data
    from barlowtf.train.loop import compile_step

    if deterministic:
        tf.config.experimental.enable_op_determinism()
    recipe = load_recipe("digits")
    strategy = tf.distribute.get_strategy()
    source = training_data.open_training_data(recipe)
    model = build_model(recipe, source.size // recipe.train.batch_size)
    step = compile_step(model, strategy, xla=False)
    batches = training_data.make_batches(recipe, source, strategy, 0, steps)
    float(step(next(batches))["loss"])
    seconds = []
    for batch in batches:
        started = time.perf_counter()
        float(step(batch)["loss"])
        seconds.append(time.perf_counter() - started)
    digest = hashlib.sha256(b"".join(variable.numpy().tobytes() for variable in model.variables))
    return {"seconds": seconds, "weights_sha256": digest.hexdigest()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round of few steps: a look, not a figure")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        machine.pin(THREADS)
        sys.stdout.write(json.dumps(run(options.child[0] == "on", int(options.child[1]))) + "\n")
        return
    rounds, steps = (1, 4) if options.quick else (3, 16)
    raw: dict[str, list[dict[str, object]]] = {"on": [], "off": []}
    for _ in range(rounds):
        for name, results in raw.items():
            results.append(machine.run_child("benchmarks.determinism", "--child", name, str(steps), threads=THREADS))
    medians = {name: statistics.median(s for r in results for s in r["seconds"]) for name, results in raw.items()}
    result = {
        "settings": {"recipe": "digits", "threads": THREADS, "rounds": rounds, "steps": steps},
        "seconds_a_step": medians,
        "cost": round(medians["on"] / medians["off"] - 1, 4),
        "different_weights": {name: len({r["weights_sha256"] for r in results}) for name, results in raw.items()},
        "raw": raw,
    }
    sys.stderr.write(f"deterministic kernels cost {result['cost']:.1%}; weights: {result['different_weights']}\n")
    sys.stderr.write(f"{machine.write_result('determinism-quick' if options.quick else 'determinism', result)}\n")


if __name__ == "__main__":
    main()
