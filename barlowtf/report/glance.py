"""What a reader wants first of a run: one sentence, and the few figures behind it."""

from dataclasses import dataclass

from barlowtf.records import judge
from barlowtf.records.grouping import format_value
from barlowtf.records.intervals import chance_of_shares
from barlowtf.report.contents import RunContents
from barlowtf.report.numbers import format_number


@dataclass(frozen=True)
class Figure:
    """A figure with what to hold it against.

    Attributes:
        title: What it is: "kNN top-1".
        value: As printed: "96.9 %".
        beside: What to compare it with: "70.0 % untrained".
    """

    title: str
    value: str
    beside: str


@dataclass(frozen=True)
class Glance:
    """One run at a glance: sentences, the first one the most telling, and at most four figures."""

    sentences: list[str]
    figures: list[Figure]


def glance_at(run: RunContents) -> Glance:
    """Returns what to say first about a run: its results, else its neighbors, else that nothing has labels."""
    sentences = list(judge(run.results))
    knn, rank = _first_and_last(run, "knn_top1"), _first_and_last(run, "effective_rank")
    loss, dead = _first_and_last(run, "loss_per_dimension"), _first_and_last(run, "dead_dimensions")
    if not sentences and knn is not None:
        images = _first_and_last(run, "knn_images")
        sentences.append(_neighbors_sentence(*knn, None if images is None else int(images[1])))
    if not sentences:
        sentences.append(
            "These images have no labels, so no number here says what the encoder is worth: look at the neighbors of "
            "some images below, and measure it on a few hundred labeled ones with barlowtf evaluate."
        )
    sentences += _verdict_sentences(run)
    figures = []
    if knn is not None:
        figures.append(Figure("kNN top-1", f"{format_value(knn[1])} %", f"{format_value(knn[0])} % before training"))
    if rank is not None:
        width = run.recipe.model.projector[-1]
        figures.append(Figure("Effective rank", format_number(round(rank[1], 1)), f"of {width:,} dimensions"))
    if dead is not None and dead[1] > 0:
        figures.append(Figure("Dead dimensions", f"{dead[1]:.0f}", "of them say nothing"))
    if loss is not None:
        figures.append(Figure("Loss per dimension", f"{loss[1]:.3g}", f"{loss[0]:.3g} at the first step"))
    return Glance(sentences, figures)


def _verdict_sentences(run: RunContents) -> list[str]:
    """Returns what run.json says of the curves, [] for a run that is not finished or of an earlier version."""
    result = None if run.info is None else run.info.result
    if result is None or result.verdict is None:
        return []
    told = result.verdict.sentence
    return [f"{told[0].upper()}{told[1:]}", *result.verdict.notes]


def _first_and_last(run: RunContents, key: str) -> tuple[float, float] | None:
    values = [float(record[key]) for record in run.metrics if record.get(key) is not None]
    return (values[0], values[-1]) if values else None


def _neighbors_sentence(before: float, after: float, images: int | None) -> str:
    points = f"{abs(100 * (after - before)):.1f} points"
    chance = 0.0 if images is None else chance_of_shares((before, after), images)
    if abs(after - before) < chance:
        return (
            f"Nearest neighbors tell the classes no better than before training: {points} are no difference that "
            f"{images:,} images can show."
        )
    if after > before:
        return f"Nearest neighbors tell the classes {points} better than before training."
    if after < before:
        return f"Nearest neighbors tell the classes {points} worse than before training: this run did harm."
    return "Nearest neighbors tell the classes no better than before training."
