"""The errors that barlowtf raises for its user's input and surroundings.

::

    BarlowTFError
      ConfigError        a recipe or an option: unknown key, wrong type or range, two settings that contradict
      DataError          images, labels, files of examples
        NoTestSplitError there are training images alone
      CheckpointError    the run folder and what is saved in it
      ConversionError    weights of another library
      ExportError        a served model or file
      TrainingError      a run that cannot go on
        NonFiniteError   a loss, gradient or weight is not finite
        LostWorkerError  one of its processes died, hangs or has failed
      Interrupted        a run that a signal stopped

Each message says what is wrong, what was received, what was expected and what to do. The command line prints it as one
line and exits with status 1, or with 128 + the signal's number where a signal stopped it. A wrong argument of a library
function is a `ValueError`, as everywhere in Python.
"""


class BarlowTFError(Exception):
    """Root of the errors that barlowtf raises on purpose."""


class ConfigError(BarlowTFError):
    """A recipe or option that cannot be used."""


class DataError(BarlowTFError):
    """Images, labels or example files that cannot be used."""


class NoTestSplitError(DataError):
    """A data set that has training images alone, where test images are needed."""


class CheckpointError(BarlowTFError):
    """A run folder or checkpoint that cannot be used."""


class ConversionError(BarlowTFError):
    """Weights of another library that do not fit."""


class ExportError(BarlowTFError):
    """An export that cannot be written or does not match its source."""


class TrainingError(BarlowTFError):
    """A training run that cannot go on."""


class NonFiniteError(TrainingError):
    """A step, or the state after it, that holds a value that is not finite.

    Attributes:
        step: Number of steps that were taken, the bad one included.
        tensor: The first tensor that is not finite, in words.
        bad_state: Finished steps of the first state that is not finite, or from which the next step is not.
    """

    def __init__(self, message: str, *, step: int = 0, tensor: str = "", bad_state: int = 0) -> None:
        """Keeps where it happened."""
        super().__init__(message)
        self.step, self.tensor, self.bad_state = step, tensor, bad_state


class LostWorkerError(TrainingError):
    """A run of several processes of which another one is gone: end this one, TensorFlow would wait for that one."""


class Interrupted(BarlowTFError):
    """A run that a signal stopped; the command line exits with 128 + the signal's number."""

    def __init__(self, message: str, signal_number: int) -> None:
        """Keeps the number of the signal."""
        super().__init__(message)
        self.signal_number = signal_number
