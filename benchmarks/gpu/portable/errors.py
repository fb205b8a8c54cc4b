"""The one exception of the portable half: a reason in one line."""


class MachineError(Exception):
    """The machine lacks something that a measurement needs; the message is one line for the user."""


def one_line(error: BaseException) -> str:
    """Returns type and message of an exception as one line of at most 300 characters."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300]
