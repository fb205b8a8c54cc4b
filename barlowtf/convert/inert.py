"""What other projects' checkpoints hold beside tensors, let pass as objects that keep nothing and do nothing.

Arguments, settings, learning rates as NumPy numbers and logs lie beside the state dict, and PyTorch's safe reader
refuses a file that names any of them. For each name listed here it gets a stand-in, by that name alone: the class or
function is neither imported nor called, and what the file would have given it is dropped. Any other name is refused.
"""

from typing import Any

# Each with the code that puts it into files.
_NAMES = (
    # facebookresearch/barlowtwins main.py and vicreg main_vicreg.py: a function in the optimizer's settings.
    *("__main__.exclude_bias_and_norm", "__mp_main__.exclude_bias_and_norm"),
    # facebookresearch/dino main_dino.py, timm/utils/checkpoint_saver.py: the arguments of the command.
    "argparse.Namespace",
    # facebookresearch/swav main_swav.py and dino main_dino.py: learning rates that were taken from a NumPy array.
    *("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype"),
    # mmengine/logging/history_buffer.py: logs, which are arrays; pickle writes its methods as calls of getattr.
    *("mmengine.logging.history_buffer.HistoryBuffer", "builtins.getattr"),
    *("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct", "numpy.ndarray"),
    # Lightning's hyper_parameters: paths, and the configurations of Hydra.
    *("pathlib.PosixPath", "pathlib._local.PosixPath", "pathlib.WindowsPath", "pathlib._local.WindowsPath"),
    *("omegaconf.dictconfig.DictConfig", "omegaconf.listconfig.ListConfig", "omegaconf.nodes.AnyNode"),
    *("omegaconf.base.ContainerMetadata", "omegaconf.base.Metadata", "typing.Any"),
    *("builtins.dict", "builtins.list", "builtins.int"),
    # vturrisi/solo-learn solo/methods/base.py: a schedule that leaves the predictor out is a partial of a method, and
    # takes the schedule and its optimizer along.
    *("functools.partial", "solo.methods.base.static_lr", "solo.utils.lr_scheduler.LinearWarmupCosineAnnealingLR"),
    *("torch.optim.lr_scheduler.MultiStepLR", "solo.utils.lars.LARS"),
    *("torch.optim.sgd.SGD", "torch.optim.adam.Adam", "torch.optim.adamw.AdamW"),
)


class Inert:
    """Stands for an object that is not needed. Takes any arguments and any state, and keeps none."""

    __slots__ = ()

    def __new__(cls, *arguments: Any) -> "Inert":
        """Returns an empty object."""
        return super().__new__(cls)

    def __init__(self, *arguments: Any) -> None:
        """Drops the arguments."""

    def __setstate__(self, state: Any) -> None:
        """Drops the state."""


def _empty_dict(*arguments: Any) -> dict[Any, Any]:
    """Stands for `collections.defaultdict`, into which pickle puts items: PyTorch lets it do so with a dict alone."""
    return {}


# As `torch.serialization.safe_globals` takes them.
STAND_INS = ((_empty_dict, "collections.defaultdict"), *((Inert, name) for name in _NAMES))
