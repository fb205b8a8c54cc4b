"""Files as PyTorch and safetensors write them, read and written; what is damaged or would run a program is refused."""

import argparse
import builtins
import collections
import json
import os
import pickle
import struct
import sys
import warnings
import zipfile

import numpy as np
import pytest

from barlowtf.convert import read_tensors, write_tensors
from barlowtf.errors import ConversionError


@pytest.fixture
def state():
    r = np.random.default_rng(0)
    return {
        "conv1.weight": r.standard_normal((4, 3, 7, 7)).astype(np.float32),
        # As state_dict_of gives it: a view in another order.
        "conv2.weight": r.standard_normal((3, 3, 4, 4)).astype(np.float32).transpose(3, 2, 0, 1),
        "bn1.bias": np.arange(4, dtype=np.float32),
        "bn1.num_batches_tracked": np.array(7),
    }


def assert_equal(received, expected):
    assert set(received) == set(expected)
    for name, value in expected.items():
        assert received[name].dtype == value.dtype
        np.testing.assert_array_equal(received[name], value, strict=True)


def refusal(path):
    with pytest.raises(ConversionError) as caught:
        read_tensors(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_pytorch_writes_is_read(state, tmp_path, torch):
    tensors = {name: torch.from_numpy(value.copy()) for name, value in state.items()}
    torch.save(tensors, tmp_path / "a.pth")
    assert_equal(read_tensors(tmp_path / "a.pth"), state)
    torch.save({"epoch": 4, "model": tensors, "optimizer": {"param_groups": [{"lr": 0.2}]}}, tmp_path / "b.pth")
    assert_equal(read_tensors(str(tmp_path / "b.pth")), state)
    torch.save(tensors, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert_equal(read_tensors(tmp_path / "old.pth"), state)
    halves = {"a": torch.tensor([1.5, 2.0], dtype=torch.bfloat16), "b": torch.nn.Parameter(torch.ones(2))}
    assert_equal(read_tensors(halves), {"a": np.array([1.5, 2], np.float32), "b": np.ones(2, np.float32)})


def test_what_is_written_pytorch_reads_in_its_order(state, tmp_path, torch):
    write_tensors(tmp_path / "a.pth", state)
    loaded = torch.load(tmp_path / "a.pth", weights_only=True)
    assert list(loaded) == list(state)
    assert_equal({name: value.numpy() for name, value in loaded.items()}, state)
    assert_equal(read_tensors(tmp_path / "a.pth"), state)


def test_safetensors(state, tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    safetensors.save_file({name: np.require(value, requirements="C") for name, value in state.items()}, tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "a.safetensors")
    assert_equal(read_tensors(tmp_path / "a.safetensors"), state)
    write_tensors(tmp_path / "b.safetensors", state)
    assert_equal(safetensors.load_file(tmp_path / "b.safetensors"), state)
    assert (tmp_path / "b.safetensors").stat().st_mode & 0o777 == 0o666 & ~_umask()
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "b.safetensors").read_bytes()[:1000])
    assert "Cannot read" in refusal(tmp_path / "cut.safetensors")


def test_safetensors_of_other_floats(tmp_path, torch):
    safetensors = pytest.importorskip("safetensors.torch")
    safetensors.save_file({"a": torch.tensor([1.5, 2.0], dtype=torch.bfloat16)}, tmp_path / "a.safetensors")
    assert_equal(read_tensors(tmp_path / "a.safetensors"), {"a": np.array([1.5, 2], np.float32)})
    safetensors.save_file({"a": torch.ones(2).to(torch.float8_e4m3fn)}, tmp_path / "b.safetensors")
    assert "Cannot read" in refusal(tmp_path / "b.safetensors")


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


class Program:
    """An object whose pickle is a call."""

    def __init__(self, function, argument):
        self.call = function, (argument,)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("function", "named"),
    [(os.system, "posix.system"), (builtins.exec, "exec"), (np.fromfile, "numpy.fromfile"), (os.mkdir, "posix.mkdir")],
)
def test_a_program_in_a_file_is_named_and_does_not_run(tmp_path, torch, function, named, zipped):
    trace = tmp_path / "trace"
    arguments = {os.system: f"touch {trace}", builtins.exec: f"open({str(trace)!r}, 'w').close()", os.mkdir: str(trace)}
    program = Program(function, arguments.get(function, __file__))
    # It does run where it is let.
    if function in arguments:
        pickle.loads(pickle.dumps(program))
        assert trace.exists()
        trace.rmdir() if trace.is_dir() else trace.unlink()
    file = tmp_path / "program.pth"
    torch.save({"model": {"conv1.weight": torch.zeros(2), "x": program}}, file, _use_new_zipfile_serialization=zipped)
    message = refusal(file)
    assert "holds other objects than tensors, and loading those could run any program" in message
    assert f"GLOBAL {named} " in message
    assert list(tmp_path.iterdir()) == [file]


def test_classes_are_named(tmp_path, torch):
    torch.save(torch.nn.Conv2d(1, 1, 1), tmp_path / "model.pth")
    assert "GLOBAL torch.nn.modules.conv.Conv2d was not an allowed" in refusal(tmp_path / "model.pth")


def test_the_one_function_in_the_authors_optimizer_is_let_pass_and_not_looked_up(tmp_path, torch, monkeypatch):
    def exclude_bias_and_norm(p):
        raise AssertionError("was called")

    exclude_bias_and_norm.__module__, exclude_bias_and_norm.__qualname__ = "__main__", "exclude_bias_and_norm"
    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "exclude_bias_and_norm", exclude_bias_and_norm, raising=False)
    groups = [{"lr": 0.2, "weight_decay_filter": exclude_bias_and_norm}]
    torch.save({"model": {"a": torch.ones(2)}, "optimizer": {"param_groups": groups}}, tmp_path / "checkpoint.pth")
    torch.save({"a": Program(exclude_bias_and_norm, 1)}, tmp_path / "called.pth")
    monkeypatch.delattr(main, "exclude_bias_and_norm")
    assert_equal(read_tensors(tmp_path / "checkpoint.pth"), {"a": np.ones(2, np.float32)})
    assert "holds no tensors" in refusal(tmp_path / "called.pth")
    # Only while a file is read.
    with pytest.raises(pickle.UnpicklingError, match="exclude_bias_and_norm"):
        torch.load(tmp_path / "checkpoint.pth", weights_only=True)


def test_damaged_and_other_files(tmp_path, torch):
    (tmp_path / "empty.pth").touch()
    assert "Cannot read" in refusal(tmp_path / "empty.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    assert "holds no tensors by name" in refusal(tmp_path / "list.pth")
    torch.save({"a": torch.zeros(2, device="meta")}, tmp_path / "meta.pth")
    assert "the tensor a has no plain values" in refusal(tmp_path / "meta.pth")
    assert "No such file" in refusal(tmp_path / "absent.pth")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(torch.nn.ReLU(), torch.zeros(1)), tmp_path / "script.pth")
    assert "TorchScript" in refusal(tmp_path / "script.pth")

    torch.save({"model": {"a": torch.zeros(99)}}, tmp_path / "whole.pth", _use_new_zipfile_serialization=False)
    whole = (tmp_path / "whole.pth").read_bytes()
    r, refused = np.random.default_rng(0), 0
    for trial in range(200):
        damaged = bytearray(whole)
        damaged[r.integers(0, 300)] = r.integers(256)
        (tmp_path / "damaged.pth").write_bytes(damaged[: r.integers(1, 300)] if trial % 4 == 0 else damaged)
        try:
            read_tensors(tmp_path / "damaged.pth")
        except ConversionError:
            refused += 1
    assert refused > 50  # and nothing else was raised


@pytest.mark.parametrize(("package", "file"), [("torch", "a.pth"), ("safetensors.numpy", "a.safetensors")])
def test_without_the_package_the_error_names_it(tmp_path, monkeypatch, package, file):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConversionError, match=r"Writing .* not installed. Run: pip install 'barlowtf\[torch\]'"):
        write_tensors(tmp_path / file, {"a": np.zeros(1)})
    assert not (tmp_path / file).exists()
    (tmp_path / file).touch()
    with pytest.raises(ConversionError, match=r"Reading .* not installed. Run: pip install 'barlowtf\[torch\]'"):
        read_tensors(tmp_path / file)


def test_values_that_the_file_does_not_hold_are_refused(tmp_path, torch):
    torch.save({"a": torch.zeros(1).expand(10**6, 10**6)}, tmp_path / "repeated.pth")
    assert "the tensor a declares 4,000,000,000,000 bytes, and the file holds 4" in refusal(tmp_path / "repeated.pth")
    torch.save({"a": torch.zeros(2**23)}, tmp_path / "zeros.pth")
    with zipfile.ZipFile(tmp_path / "zeros.pth") as archive:
        with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb:
            for name in archive.namelist():
                bomb.writestr(name, archive.read(name))
    assert "would take 33,554,432 bytes, expected at most" in refusal(tmp_path / "bomb.pth")


def test_safetensors_of_hostile_sizes_are_one_line(tmp_path):
    pytest.importorskip("safetensors")
    entry = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    headers = [
        {"a": {**entry, "shape": [2**40]}},
        {"a": {**entry, "data_offsets": [0, 2**60]}},
        {"a": {**entry, "data_offsets": [16, 0]}},
        {"a": {**entry, "data_offsets": [-16, 0]}},
        {"a": {**entry, "shape": [-4]}},
        {"a": {**entry, "dtype": "X"}},
        {"a": entry, "b": entry},
        [],
    ]
    for header in headers:
        text = json.dumps(header).encode()
        (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(16))
        assert refusal(tmp_path / "a.safetensors").startswith("Cannot read")
    for length in (2**63, 2**40, 0):
        (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", length) + bytes(40))
        refusal(tmp_path / "a.safetensors")


def test_attributes_of_dicts_and_tensors_are_not_called(tmp_path, torch):
    """Pickle gives an OrderedDict and a Parameter attributes, which would stand before their methods."""
    whole = collections.OrderedDict(a=torch.ones(2))
    for method in ("get", "keys", "values"):
        setattr(whole, method, "not a method")
    torch.save({"state_dict": whole, "self": whole}, tmp_path / "dict.pth")
    assert_equal(read_tensors(tmp_path / "dict.pth"), {"a": np.ones(2, np.float32)})
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.detach = argparse.Namespace
    torch.save({"a": parameter}, tmp_path / "parameter.pth")
    assert "the tensor a has no plain values" in refusal(tmp_path / "parameter.pth")


def test_many_views_of_the_same_values_are_refused_together(tmp_path, torch):
    few = torch.ones(2**17)  # 512 KiB
    torch.save({str(number): few[number:] for number in range(19)}, tmp_path / "shared.pth")
    assert len(read_tensors(tmp_path / "shared.pth")) == 19
    torch.save({str(number): few.expand(10, -1) for number in range(40)}, tmp_path / "views.pth")
    assert "its tensors up to 2 declare 15,728,640 bytes, and the file holds 524,288" in refusal(tmp_path / "views.pth")
