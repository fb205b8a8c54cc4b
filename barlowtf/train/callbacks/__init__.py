"""What watches a run: each a Keras callback with one job.

Monitors measure and add entries to the logs; writers, later in the list, write what they find there. Writers act on
logs that hold "record".
"""

from barlowtf.train.callbacks.checkpoint import SaveCheckpoints
from barlowtf.train.callbacks.collapse import CollapseMonitor
from barlowtf.train.callbacks.interruption import StopOnRequest
from barlowtf.train.callbacks.json_lines import JsonLines
from barlowtf.train.callbacks.knn import KNNMonitor
from barlowtf.train.callbacks.nonfinite import StopOnNonFinite
from barlowtf.train.callbacks.progress import Progress
from barlowtf.train.callbacks.step_metrics import StepMetrics
from barlowtf.train.callbacks.tensorboard import TensorBoardWriter

__all__ = [
    "CollapseMonitor",
    "JsonLines",
    "KNNMonitor",
    "Progress",
    "SaveCheckpoints",
    "StepMetrics",
    "StopOnNonFinite",
    "StopOnRequest",
    "TensorBoardWriter",
]
