"""What is wrong with a setting, in one line."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# Letters of a value, and faults, that a message shows.
_SHOWN_LENGTH, SHOWN_FAULTS = 60, 3
# What other programs call a setting -> its name here.
_ELSEWHERE = {
    "lr": "optimizer.learning_rate",
    "learningrate": "optimizer.learning_rate",
    "wd": "optimizer.weight_decay",
    "decay": "optimizer.weight_decay",
    "warmup": "optimizer.warmup_epochs",
    "momentum": "optimizer.momentum",
    "optim": "optimizer.name",
    "bs": "train.batch_size",
    "batch": "train.batch_size",
    "batchsize": "train.batch_size",
    "epoch": "train.epochs",
    "epochs": "train.epochs",
    "seed": "train.seed",
    "amp": "train.precision",
    "dtype": "train.precision",
    "arch": "model.encoder",
    "architecture": "model.encoder",
    "backbone": "model.encoder",
    "head": "model.projector",
    "pretrained": "model.init",
    "image_size": "augment.size",
    "img_size": "augment.size",
    "resolution": "augment.size",
    "lambda": "loss.lambd",
    "dataset": "data.source",
}


def explain(error: Mapping[str, Any], known: Iterable[str], *, owner: str = "") -> str:
    """Returns what pydantic found wrong with a setting, one line without a full stop.

    Args:
        error: One of `ValidationError.errors()`.
        known: Names of settings that a wrong one may mean.
        owner: What has no such setting, for messages: "optimizer adamw".
    """
    where = ".".join(str(part) for part in error["loc"] if not isinstance(part, int))
    if error["type"] == "extra_forbidden":
        return f"Unknown setting {shown(where)}{f' of {owner}' if owner else ''}.{name_nearest(where, known)}".rstrip(
            "."
        )
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "value_error":
        # A check of several settings says which one it means: "KEY: received X, expected Y".
        if re.match(r"[\w.]+: received ", message):
            return f"Invalid {where}{'.' if where else ''}{message}"
        return f"Invalid {where}: {message}" if where else message
    return f"Invalid {where}: received {shown(error.get('input'))}, expected {_expected(error, message)}"


def _expected(error: Mapping[str, Any], message: str) -> str:
    """Returns what pydantic expects in the words of a recipe."""
    limits, place = error.get("ctx", {}), error["loc"][-1] if error["loc"] else None
    match error["type"]:
        case "too_short":
            return f"at least {_values(limits['min_length'])}"
        case "too_long":
            return f"at most {_values(limits['max_length'])}"
        case "missing" if isinstance(place, int):
            return f"at least {_values(place + 1)}"
        case "tuple_type":
            return "a list"
    expected = message.removeprefix("Input should be ")
    if expected.startswith("a valid dictionary"):
        return "a table of settings"
    return f"a number {expected}" if expected.startswith(("greater", "less")) else expected


def _values(count: int) -> str:
    return f"{count} value{'' if count == 1 else 's'}"


def causes(faults: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns what pydantic found wrong without what follows from another fault.

    A list with a wrong value is also too short for pydantic, which counts the right ones.
    """
    found = [dict(fault) for fault in faults]
    inner = {fault["loc"][:-1] for fault in found if fault["loc"]}
    return [fault for fault in found if fault["type"] != "too_short" or fault["loc"] not in inner]


def shown(value: object) -> str:
    """Returns a value as a message shows it: of a long one beginning and end."""
    text = repr(value)
    return text if len(text) <= _SHOWN_LENGTH else f"{text[: _SHOWN_LENGTH // 2]}...{text[-_SHOWN_LENGTH // 4 :]}"


def in_one_line(faults: Sequence[str], count: int | None = None) -> str:
    """Returns what is wrong as one line: the first faults, and how many more there are of `count`, of all."""
    listed = "; ".join(faults[:SHOWN_FAULTS])
    more = (len(faults) if count is None else count) - len(faults[:SHOWN_FAULTS])
    return f"{listed}; and {more} more" if more > 0 else listed


def name_nearest(name: str, known: Iterable[str]) -> str:
    """Returns " Did you mean 'x'?" for the known name that is meant, or "".

    It is the one that other programs call so, else the closest one, by whole name first, by last part next.
    """
    known = list(known)
    usual = _ELSEWHERE.get(name.rpartition(".")[2].lower(), "")
    meant = next((form for form in (usual, usual.rpartition(".")[2]) if form in known), None)
    if meant is not None:
        return f" Did you mean {meant!r}?"
    matches = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if not matches:
        by_last = {key.rpartition(".")[2]: key for key in known}
        matches = [by_last[m] for m in difflib.get_close_matches(name.rpartition(".")[2], by_last, n=1, cutoff=0.6)]
    return f" Did you mean {matches[0]!r}?" if matches else ""


def as_sentence(text: str) -> str:
    """Returns a text that ends in one mark: a question keeps its own."""
    return text if text.endswith("?") else f"{text}."
