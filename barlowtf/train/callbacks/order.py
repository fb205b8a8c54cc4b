"""The order in which the callbacks of a run must act."""

from collections.abc import Iterable

import keras

from barlowtf.train.callbacks.checkpoint import SaveCheckpoints
from barlowtf.train.callbacks.interruption import StopOnRequest
from barlowtf.train.callbacks.recorder import Monitor, Recorder, Writer

# A run that stops is not measured; measurements are written after they are made; a step that fails is not saved.
_ORDER = (StopOnRequest, Recorder, Monitor, Writer, SaveCheckpoints)


def in_order(callbacks: Iterable[keras.callbacks.Callback]) -> list[keras.callbacks.Callback]:
    """Returns the callbacks as a list, once their order is right.

    Args:
        callbacks: StopOnRequest, then the recorder, the monitors, the writers, and SaveCheckpoints last. Each of them
            may be missing; Keras callbacks of other kinds may stand anywhere before SaveCheckpoints.

    Raises:
        ValueError: One stands in the wrong place, or a monitor or writer uses a recorder that is not in the list.
    """
    listed = list(callbacks)
    recorders = [callback for callback in listed if isinstance(callback, Recorder)]
    highest, before = 0, ""
    for callback in listed:
        name = type(callback).__name__
        place = _place(callback)
        if place is not None and place < highest or highest == len(_ORDER) - 1:
            raise ValueError(
                f"Invalid order of callbacks: received {before} before {name}, "
                f"expected {', '.join(kind.__name__ for kind in _ORDER)}. Move {name} forward."
            )
        if isinstance(callback, Monitor | Writer) and callback.recorder not in recorders:
            raise ValueError(
                f"Invalid callbacks: {name} uses a recorder that is not in the list. Put one Recorder before it and "
                "give it to every monitor and writer."
            )
        if place is not None and place >= highest:
            highest, before = place, name
    return listed


def _place(callback: keras.callbacks.Callback) -> int | None:
    """Returns the place of a callback's kind in the order; None for kinds that may stand anywhere."""
    return next((place for place, kind in enumerate(_ORDER) if isinstance(callback, kind)), None)
