"""What lies beside the tensors of other projects' files is let pass by name, and nothing of it is kept or run."""

import argparse
import collections
import functools
import os
import pathlib
import pickle
import sys
from types import ModuleType

import numpy as np
import pytest

from barlowtf.convert import read_tensors
from barlowtf.convert.inert import STAND_INS, Inert
from barlowtf.convert.torch_files import read_content
from barlowtf.errors import ConversionError


def test_a_stand_in_keeps_and_does_nothing():
    made = Inert("rm", ["-r"], Inert)
    made.__setstate__({"anything": 1})
    assert not hasattr(made, "__dict__") and not hasattr(made, "anything")
    with pytest.raises(AttributeError):
        made.anything = 1
    for stand_in, name in STAND_INS:
        assert stand_in is Inert or (name == "collections.defaultdict" and stand_in(print) == {})


class Called(BaseException):
    """Something of the file has run."""


@pytest.fixture
def package(monkeypatch):
    """Function (name of a module, name of a class): such a class, which may be pickled and never be unpickled."""

    def make(module, name):
        def refuse(*arguments):
            raise Called

        made = type(name, (), {"__module__": module, "__setstate__": refuse, "mean": lambda self: 0})
        made.mean.__module__, made.mean.__qualname__ = module, f"{name}.mean"
        parts = module.split(".")
        for count in range(1, len(parts) + 1):
            at = ".".join(parts[:count])
            monkeypatch.setitem(sys.modules, at, sys.modules.get(at, ModuleType(at)))
        setattr(sys.modules[module], name, made)
        return made

    return make


def test_what_lies_beside_the_tensors(tmp_path, torch, package, monkeypatch):
    history = package("mmengine.logging.history_buffer", "HistoryBuffer")()
    # As mmengine has it: pickle writes a method as a call of getattr.
    history.values, history.methods = np.arange(3.0), {"mean": type(history).mean}
    configuration = package("omegaconf.dictconfig", "DictConfig")()
    metadata = package("omegaconf.base", "ContainerMetadata")()
    metadata.types, metadata.cache = (dict, int, list), collections.defaultdict(dict, {"a": 1})
    configuration.metadata = metadata
    beside = {
        "args": argparse.Namespace(lr=0.1, arch="resnet50"),
        "folder": pathlib.Path("runs/first"),
        "optimizer": {"param_groups": [{"lr": np.float64(0.3), "steps": np.int64(3)}]},
        "message_hub": {"log_scalars": collections.OrderedDict(loss=history)},
        "hyper_parameters": configuration,
        "schedule": np.linspace(0, 1, 5),
    }
    file = tmp_path / "checkpoint.pth"
    torch.save({"state_dict": {"a": torch.ones(2)}, **beside}, file)
    monkeypatch.undo()
    assert "mmengine" not in sys.modules and "omegaconf" not in sys.modules
    np.testing.assert_array_equal(read_tensors(file)["a"], np.ones(2))
    assert "mmengine" not in sys.modules and "omegaconf" not in sys.modules
    _, content = read_content(file)
    for name in ("args", "folder", "hyper_parameters", "schedule"):
        assert type(content[name]) is Inert
    assert type(content["optimizer"]["param_groups"][0]["lr"]) is Inert
    # Only while a file is read.
    with pytest.raises(pickle.UnpicklingError, match="was not an allowed global"):
        torch.load(file, weights_only=True)


def test_a_schedule_that_takes_its_optimizer_along(tmp_path, torch, package):
    """As solo-learn's SimSiam leaves it in the checkpoints of Lightning."""
    static = package("solo.methods.base", "static_lr")
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.9)
    parameter.sum().backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 3])
    schedule.get_lr = functools.partial(static, get_lr=schedule.get_lr, lrs_to_replace=[0.1])
    torch.save(
        {
            "state_dict": {"a": torch.ones(2)},
            "optimizer_states": [optimizer.state_dict()],
            "lr_schedulers": [schedule.state_dict()],
        },
        tmp_path / "last.ckpt.pth",
    )
    np.testing.assert_array_equal(read_tensors(tmp_path / "last.ckpt.pth")["a"], np.ones(2))


class Call:
    """An object whose pickle is a call, and which may be what is called."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call

    def __call__(self):
        raise Called


@pytest.mark.parametrize(
    ("program", "named"),
    [
        (Call(getattr, os.mkdir, "__call__"), "GLOBAL posix.mkdir"),
        # getattr(dict, "fromkeys")("ab"), a method of a class that is let pass by name.
        (Call(Call(getattr, dict, "fromkeys"), "ab"), "call reduce for unrecognized function"),
    ],
)
def test_a_call_of_getattr_gives_nothing_to_call(tmp_path, torch, program, named):
    torch.save({"a": torch.ones(1), "x": program}, tmp_path / "program.pth")
    with pytest.raises(ConversionError, match="could run any program") as caught:
        read_tensors(tmp_path / "program.pth")
    assert named in str(caught.value)
