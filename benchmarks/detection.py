"""Detection and segmentation: learns four images by heart, compares encoders on blood cells, times the paper's step.

python -m benchmarks.detection overfit COCO128        box and mask AP50 on four images that were learned
python -m benchmarks.detection cells BCCD RUN WORK    a pre-trained ResNet-18 beside the same one untrained
python -m benchmarks.detection step                   ResNet-50, 800 x 1333, batch 1 and 2: seconds and memory

COCO128 is a folder as COCO has it, BCCD one as VOC has it, RUN a run of `barlowtf pretrain` on BCCD's training images,
WORK a folder for the results of `barlowtf evaluate`. Each writes its part of benchmarks/results/detection.json.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine

NAME = "detection"
_FILE = machine.RESULTS / f"{NAME}.json"
# Images with at least two objects, and few enough that four of them are learned in minutes.
_OBJECTS = range(2, 6)
_SHORT_SIDE = 192
_STEPS = 600
# Of COCO's usual image, and of the views of the paper.
_HEIGHT, _WIDTH, _CLASSES = 800, 1344, 80
_TIMED_STEPS = 3


def overfit(folder: str) -> dict[str, Any]:
    """Trains Mask R-CNN C4 on four images and scores it on the same ones."""
    import tensorflow as tf

    from barlowtf import augment, data, detection, models
    from barlowtf.data.objects import ObjectPlan, object_batches, padded_image
    from barlowtf.evaluation.detection_scores import box_scores, mask_scores
    from barlowtf.models.detector import Detector, DetectorSettings, split_encoder
    from barlowtf.models.resnet import detector_cut
    from barlowtf.optim import MomentumSGD, WarmupSteps

    everything = data.open_objects(folder, "train")
    fitting = [
        number
        for number, objects in enumerate(everything.objects)
        if len(objects.labels) in _OBJECTS and not objects.crowd.any()
    ]
    images = everything.part(np.array(fitting[:4]))
    encoder = models.make_encoder("resnet18", image_shape=(None, None, 3), stem="imagenet", dtype="mixed_bfloat16")
    settings = DetectorSettings(
        anchor_sizes=(16.0, 32.0, 64.0, 128.0),
        anchors_sampled=128,
        candidates=(1_000, 600),
        proposals=(300, 150),
        regions=32,
    )
    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    detector = Detector(
        split_encoder(encoder, *detector_cut(encoder)),
        len(images.class_names),
        settings,
        masks=True,
        prepare=lambda pixels: augment.normalize(augment.unit_range(pixels), mean, deviation),
    )
    optimizer = MomentumSGD(
        WarmupSteps(0.02, warmup_steps=20, drops=(_STEPS * 4 // 5,)), momentum=0.9, weight_decay=1e-4
    )
    detector.compile(optimizer=optimizer)
    optimizer.build(detector.trainable_variables)
    plan = ObjectPlan(
        batch_size=2,
        short_sides=(_SHORT_SIDE,),
        longest=2 * _SHORT_SIDE,
        flip=0.0,
        places=_OBJECTS.stop,
        mask_size=112,
        channels=3,
        seed=0,
    )
    step, batches = tf.function(detector.training_logs), object_batches(images, plan, 0)
    started, curve = time.perf_counter(), []
    for number in range(_STEPS):
        logs = step(next(batches))
        if number % 20 == 0:
            curve.append({name: round(float(value), 4) for name, value in logs.items()})
            sys.stderr.write(f"step {number} of {_STEPS}  loss {curve[-1]['loss']}\n")
    seconds = time.perf_counter() - started
    found: dict[str, list[Any]] = {"image": [], "category": [], "boxes": [], "scores": [], "masks": []}
    for number in range(images.size):
        view, extent = padded_image(images, number, short=_SHORT_SIDE, longest=2 * _SHORT_SIDE, channels=3)
        objects, masks = detector.detect(view, tf.constant(extent))
        height, width = (int(side) for side in images.sizes[number])
        for place in np.flatnonzero(objects.valid[0]):
            box = objects.boxes[0, place].numpy() * np.tile([width, height] / extent[0, ::-1], 2)
            bits = detection.paste_masks(
                masks[0, place][None], tf.constant(box[None], tf.float32), height=height, width=width
            )
            found["image"].append(number)
            found["category"].append(int(objects.labels[0, place]))
            found["boxes"].append(box)
            found["scores"].append(float(objects.scores[0, place]))
            found["masks"].append(detection.encode_runs(bits[0].numpy()))
    detections = detection.Detections(
        np.array(found["image"]),
        np.array(found["category"]),
        np.array(found["boxes"]),
        np.array(found["scores"]),
        found["masks"],
    )
    return {
        "images": list(images.image_ids),
        "objects": images.object_count,
        "steps": _STEPS,
        "seconds": round(seconds, 1),
        "box": box_scores(images, detections, measure="coco")[0],
        "mask": mask_scores(images, detections)[0],
        "curve": curve,
    }


def cells(bccd: str, run: str, work: str, seeds: str, steps: int) -> dict[str, Any]:
    """Fine-tunes a detector on blood cells from a pre-trained and from an untrained encoder, by the command line."""
    words = ["evaluate", "--protocol", "detection", "--variant", "small", "--data", bccd, "--seeds", seeds]
    words += ["--encoder", run, "--encoder", "random", "--out", work, "--json"]
    words += ["--set", f"steps={steps}", "--set", f"drops=[{steps * 3 // 4}, {steps * 9 // 10}]"]
    command = [sys.executable, "-m", "barlowtf", *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    results = []
    for path in sorted(Path(work).glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        results.append(
            {
                "encoder": result["encoder"]["label"],
                "seed": result["seed"],
                "scores": {name: round(value, 4) for name, value in result["scores"].items()},
                "per_class": dict(zip(result["data"]["class_names"], result["per_class"], strict=True)),
                "seconds": result["seconds"],
                "settings": result["settings"],
            }
        )
    return {"results": results}


def step_child(batch: int) -> dict[str, Any]:
    """Returns seconds of each step and the peak memory of Faster R-CNN C4 and Mask R-CNN C4 at the paper's size."""
    import tensorflow as tf

    from barlowtf import models
    from barlowtf.models.detector import DetectionBatch, Detector, split_encoder
    from barlowtf.models.resnet import detector_cut
    from barlowtf.optim import MomentumSGD

    encoder = models.make_encoder("resnet50", image_shape=(None, None, 3))
    detector = Detector(split_encoder(encoder, *detector_cut(encoder)), _CLASSES, masks=True)
    optimizer = MomentumSGD(1e-4)
    detector.compile(optimizer=optimizer)
    optimizer.build(detector.trainable_variables)
    r = np.random.default_rng(0)
    places = 20
    corner = r.uniform(0, 500, (batch, places, 2))
    boxes = np.concatenate([corner, corner + r.uniform(30, 300, (batch, places, 2))], axis=-1)
    data = DetectionBatch(
        tf.constant(r.normal(size=(batch, _HEIGHT, _WIDTH, 3)), tf.float32),
        tf.constant([[_HEIGHT, 1333]] * batch, tf.float32),
        tf.constant(boxes, tf.float32),
        tf.constant(r.integers(0, _CLASSES, (batch, places)), tf.int32),
        tf.constant(np.ones((batch, places), bool)),
        tf.constant(r.uniform(size=(batch, places, 112, 112)) > 0.5),
        tf.constant(r.integers(0, 2**31, (batch, 2)), tf.int32),
    )
    step = tf.function(detector.training_logs)
    seconds = []
    for _ in range(_TIMED_STEPS + 1):
        started = time.perf_counter()
        loss = float(step(data)["loss"])
        seconds.append(round(time.perf_counter() - started, 2))
    return {"batch": batch, "first": seconds[0], "seconds": seconds[1:], "loss": loss}


def steps() -> dict[str, Any]:
    """Times the step in a process of its own for each batch."""
    found = []
    for batch in (1, 2):
        command = [sys.executable, "-m", "benchmarks.detection", "child", str(batch)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        one = json.loads(output.splitlines()[-1])
        one["median_seconds"] = machine.median(one["seconds"])
        found.append(one)
        sys.stderr.write(f"{one}\n")
    return {"encoder": "resnet50", "height": _HEIGHT, "width": _WIDTH, "classes": _CLASSES, "batches": found}


def main() -> None:
    """Measures one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="part", required=True)
    commands.add_parser("overfit").add_argument("folder")
    of_cells = commands.add_parser("cells")
    for name in ("bccd", "run", "work"):
        of_cells.add_argument(name)
    of_cells.add_argument("--seeds", default="0,1,2")
    of_cells.add_argument("--steps", type=int, default=400)
    commands.add_parser("step")
    commands.add_parser("child").add_argument("batch", type=int)
    given = parser.parse_args()
    if given.part == "child":
        found = step_child(given.batch) | {"peak_gib": round(machine.peak_memory_bytes() / 2**30, 2)}
        sys.stdout.write(json.dumps(found) + "\n")
        return
    if given.part == "overfit":
        found = overfit(given.folder)
    elif given.part == "cells":
        found = cells(given.bccd, given.run, given.work, given.seeds, given.steps)
    else:
        found = steps()
    known = json.loads(_FILE.read_text(encoding="utf-8"))["parts"] if _FILE.exists() else {}
    command = f"python -m benchmarks.detection {given.part}"
    part = {"command": command, **machine.describe_machine(), **found}
    sys.stderr.write(f"{machine.write_result(NAME, {'parts': {**known, given.part: part}})}\n")


if __name__ == "__main__":
    main()
