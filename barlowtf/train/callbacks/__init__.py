"""What watches a run: each a Keras callback with one job.

Monitors measure and add what they find to a `Recorder`; writers, later in the list, write what is in it. `in_order`
checks the list. The logs of a step are ordinary Keras logs, so that callbacks of Keras and of users stand beside them.
"""

from barlowtf.train.callbacks.best import KeepBest
from barlowtf.train.callbacks.checkpoint import SaveCheckpoints
from barlowtf.train.callbacks.collapse import CollapseMonitor
from barlowtf.train.callbacks.interruption import StopOnRequest
from barlowtf.train.callbacks.json_lines import JsonLines
from barlowtf.train.callbacks.knn import KNNMonitor
from barlowtf.train.callbacks.order import in_order
from barlowtf.train.callbacks.pace import Pace
from barlowtf.train.callbacks.progress import Progress
from barlowtf.train.callbacks.recorder import Monitor, Recorder, Writer
from barlowtf.train.callbacks.step_metrics import StepMetrics
from barlowtf.train.callbacks.tensorboard import TensorBoardWriter

__all__ = [
    "CollapseMonitor",
    "JsonLines",
    "KNNMonitor",
    "KeepBest",
    "Monitor",
    "Pace",
    "Progress",
    "Recorder",
    "SaveCheckpoints",
    "StepMetrics",
    "StopOnRequest",
    "TensorBoardWriter",
    "Writer",
    "in_order",
]
