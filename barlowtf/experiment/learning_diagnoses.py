"""What can be wrong with how a run learns: its curves and its rates."""

import math
from collections.abc import Iterator

import numpy as np

from barlowtf.choosing import BIAS_GRADIENT_SCALE, BIAS_SHARE, has_known_rates, known_rate
from barlowtf.experiment.diagnosis import Diagnosis, Symptom
from barlowtf.experiment.run_facts import RunFacts, percent
from barlowtf.metrics import COLLAPSED_RANK, MOSTLY_DEAD, has_collapsed

# Views that the effective rank is measured on: it cannot be larger.
_MONITORED = 256
_LOW_RANK_SHARE, _RANK_LOSS = 0.04, 0.5
_SOME_DEAD = 0.05
_RATE_FACTOR, _BIAS_FACTOR = 3.0, 4.0
_KNN_FALL = 0.03
_SPIKE = 20.0


def _bad_values(run: RunFacts) -> Iterator[Symptom]:
    bad = [
        f"step {line.get('step')}: {name} is {value}"
        for line in run.metrics
        for name, value in line.items()
        if isinstance(value, float) and not math.isfinite(value)
    ]
    if bad:
        yield Symptom(f"{len(bad)} recorded value{'s are' if len(bad) > 1 else ' is'} not finite.", bad[:3])


def _collapse(run: RunFacts) -> Iterator[Symptom]:
    rank, dead = run.trained("effective_rank"), run.trained("dead_dimensions")
    if rank is None or dead is None:
        return
    if has_collapsed(rank, dead, width=run.width, images=_most_rank(run)):
        yield Symptom(
            f"The embeddings have collapsed: effective rank {rank:.1f}, {dead:.0f} of {run.width} dimensions dead.",
            _course(run, "effective_rank"),
        )


def _dead(run: RunFacts) -> Iterator[Symptom]:
    dead = run.trained("dead_dimensions")
    if dead is not None and _SOME_DEAD * run.width <= dead < MOSTLY_DEAD * run.width:
        yield Symptom(f"{dead:.0f} of {run.width} dimensions are dead.", _course(run, "dead_dimensions"))


def _low_rank(run: RunFacts) -> Iterator[Symptom]:
    rank, most = run.trained("effective_rank"), _most_rank(run)
    if rank is not None and COLLAPSED_RANK <= rank < _LOW_RANK_SHARE * most:
        yield Symptom(
            f"The effective rank is {rank:.1f} of at most {most} (D = {run.width}).", _course(run, "effective_rank")
        )


def _most_rank(run: RunFacts) -> int:
    return min(run.width, run.recipe.train.batch_size, _MONITORED)


def _falling_rank(run: RunFacts) -> Iterator[Symptom]:
    ranks = run.column("effective_rank")
    if len(ranks) > 2 and COLLAPSED_RANK <= ranks[-1] < _RANK_LOSS * max(ranks):
        yield Symptom(
            f"The effective rank has fallen from {max(ranks):.1f} to {ranks[-1]:.1f}.", _course(run, "effective_rank")
        )


def _rising_loss(run: RunFacts) -> Iterator[Symptom]:
    losses = run.column("loss")
    if len(losses) >= 4 and np.median(losses[-3:]) >= losses[0]:
        yield Symptom(
            f"The loss is {np.median(losses[-3:]):.4g}, not below {losses[0]:.4g} at the start.", _course(run, "loss")
        )


def _spikes(run: RunFacts) -> Iterator[Symptom]:
    norms = run.column("gradient_norm")[1:]
    if len(norms) >= 8 and max(norms) > _SPIKE * float(np.median(norms)):
        yield Symptom(
            f"The gradient's norm reaches {max(norms):.4g}, {max(norms) / np.median(norms):.0f} times its median."
        )


def _below_untrained(run: RunFacts) -> Iterator[Symptom]:
    scores = run.column("knn_top1")
    first = next((line["knn_top1"] for line in run.metrics if line.get("step") == 0 and "knn_top1" in line), None)
    if first is not None and len(scores) > 1 and scores[-1] <= first:
        yield Symptom(f"kNN accuracy is {percent(scores[-1])}, not above {percent(first)} before the first step.")


def _past_its_best(run: RunFacts) -> Iterator[Symptom]:
    scored = [(line["knn_top1"], line["step"]) for line in run.metrics if "knn_top1" in line]
    if len(scored) > 2:
        best, step = max(scored)
        if step and best - scored[-1][0] >= _KNN_FALL:
            yield Symptom(f"kNN accuracy was {percent(best)} at step {step:,} and is {percent(scored[-1][0])} now.")


def _rate(run: RunFacts) -> Iterator[Symptom]:
    known, rate = known_rate(run.recipe), run.recipe.optimizer.learning_rate
    if known is not None and not known.rate / _RATE_FACTOR <= rate <= known.rate * _RATE_FACTOR:
        times = rate / known.rate
        factor = f"{times:.3g} times" if times > 1 else f"1/{1 / times:.3g} of"
        yield Symptom(f"optimizer.learning_rate is {rate:g}, {factor} {known.rate:g}, {known.source}.")


def _bias_rate(run: RunFacts) -> Iterator[Symptom]:
    optimizer = run.recipe.optimizer
    bias_rate = getattr(optimizer, "bias_learning_rate", None)
    if bias_rate is None or getattr(optimizer, "clip", False) or not has_known_rates(run.recipe):
        return
    # What biases move by: their rate times the factor on the gradient, as a share of the rate of the weights.
    share = bias_rate / optimizer.learning_rate * optimizer.gradient_scale
    known = BIAS_SHARE * BIAS_GRADIENT_SCALE
    if not known / _BIAS_FACTOR <= share <= known * _BIAS_FACTOR:
        replicas = 1 if run.info is None else run.info.replicas
        yield Symptom(
            f"Biases and normalizations move {share / known:.3g} times as far as in the authors' runs.",
            [
                f"bias rate {bias_rate:g}, gradient scale {optimizer.gradient_scale:g}, replicas {replicas}",
                f"the authors' {BIAS_SHARE:g} of the rate belongs to {BIAS_GRADIENT_SCALE:g} of the gradient, on any "
                "number of replicas here",
            ],
        )


def _sameness(run: RunFacts) -> Iterator[Symptom]:
    if run.info is not None and run.info.data.sameness is not None:
        yield Symptom(run.info.data.sameness)


LEARNING_DIAGNOSES: dict[str, Diagnosis[RunFacts]] = {
    "bad values": Diagnosis(
        "harm",
        "recorded values that are not finite",
        "Lower optimizer.learning_rate, or set train.precision = float32.",
        _bad_values,
    ),
    "same images": Diagnosis(
        "harm",
        "training images of one color each, or all equal, by a sample",
        "Look at them: barlowtf data check names all such images.",
        _sameness,
    ),
    "collapse": Diagnosis(
        "harm",
        f"effective rank of the embeddings below {COLLAPSED_RANK:g}, or half of the dimensions dead (their deviation "
        "is below 1e-3)",
        "Compare augment.mean and augment.std with barlowtf data check; then lower the rate, or raise loss.lambd.",
        _collapse,
    ),
    "rising loss": Diagnosis(
        "harm",
        "a loss that is not below that of the first step",
        "Lower optimizer.learning_rate, or lengthen optimizer.warmup_epochs.",
        _rising_loss,
    ),
    "below untrained": Diagnosis(
        "harm",
        "kNN accuracy not above that of the encoder before the first step",
        "Look at the view pairs in TensorBoard: views must keep what makes the classes; then train longer.",
        _below_untrained,
    ),
    "past its best": Diagnosis(
        "note",
        f"kNN accuracy {100 * _KNN_FALL:g} points below its best",
        "Train for fewer epochs, or with a lower rate.",
        _past_its_best,
    ),
    "low rank": Diagnosis(
        "note",
        f"effective rank below {100 * _LOW_RANK_SHARE:g} % of min(D, N, {_MONITORED})",
        "Train longer; if it stays, use more varied images or stronger views.",
        _low_rank,
    ),
    "falling rank": Diagnosis(
        "note",
        "effective rank below half of its largest value",
        "Normal in the first epochs; later, lower optimizer.learning_rate.",
        _falling_rank,
    ),
    "dead dimensions": Diagnosis(
        "note",
        f"dead dimensions, from {100 * _SOME_DEAD:g} % of D on",
        "Normal in the first epochs; later, narrow model.projector or lower optimizer.learning_rate.",
        _dead,
    ),
    "gradient spikes": Diagnosis(
        "note",
        f"a gradient norm {_SPIKE:g} times its median, after the first step",
        "Lengthen optimizer.warmup_epochs, or lower optimizer.learning_rate.",
        _spikes,
    ),
    "rate": Diagnosis(
        "note",
        f"a learning rate more than {_RATE_FACTOR:g} times away from the known one for optimizer, batch and encoder",
        "Set optimizer.learning_rate nearer to it, unless you have measured yours.",
        _rate,
    ),
    "bias rate": Diagnosis(
        "note",
        f"with LARS: bias rate times gradient scale more than {_BIAS_FACTOR:g} times away from the authors' share",
        "Set optimizer.gradient_scale = 0.0625 and optimizer.bias_learning_rate = 0.024 times the learning rate.",
        _bias_rate,
    ),
}


def _course(run: RunFacts, name: str) -> list[str]:
    """Returns first, middle and last of a metric as one line of evidence."""
    points = [(line["step"], line[name]) for line in run.metrics if name in line]
    chosen = dict.fromkeys((0, len(points) // 2, len(points) - 1))
    return [f"{name}: " + ", ".join(f"{points[at][1]:.4g} (step {points[at][0]:,})" for at in chosen)]
