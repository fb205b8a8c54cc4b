"""The files around a SavedModel, without a server: they parse, say what is true, leave a user's edits alone."""

import re
import shutil
import subprocess

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.config import model_server_config_pb2

from barlowtf.errors import ExportError
from barlowtf.export import serving, warmup
from barlowtf.export.about import About
from barlowtf.export.serving import BATCH_SIZES, Signature, serving_readme, write_config_files, write_serving_files
from barlowtf.records import HeadFacts
from tests.saved_models import read_warmup

CLASSES = ["cat", "dog", "émeu"]
# BatchingParameters of session_bundle_config.proto, which tensorflow-serving-api does not hold.
BATCHING_FIELDS = (
    ("max_batch_size", "Int64Value"),
    ("batch_timeout_micros", "Int64Value"),
    ("max_enqueued_batches", "Int64Value"),
    ("num_batch_threads", "Int64Value"),
    ("thread_pool_name", "StringValue"),
    ("allowed_batch_sizes", None),
)


def signatures(*, head=True, channels=3):
    outputs = {"features": tf.TensorSpec((None, 32), tf.float32)}
    if head:
        outputs |= {name: tf.TensorSpec((None, 3), tf.float32) for name in ("logits", "probabilities")}
        outputs |= {"label": tf.TensorSpec((None,), tf.string)}
    images = tf.TensorSpec((None, None, None, channels), tf.uint8)
    return {
        "serving_default": Signature({"images": images}, outputs),
        "from_jpeg": Signature(
            {"encoded": tf.TensorSpec((None,), tf.string)}, outputs | {"valid": tf.TensorSpec((None,), tf.bool)}
        ),
        "float_images": Signature({"images": tf.TensorSpec((None, 24, 24, channels), tf.float32)}, outputs),
        "embed": Signature({"images": images}, {"embeddings": tf.TensorSpec((None, 8), tf.float32)}),
    }


def readme(**changes):
    settings = {"name": "birds", "image_size": 24, "channels": 3, "signatures": signatures(), "class_names": CLASSES}
    return serving_readme(**settings | changes)


def commands(text):
    return [line for block in re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL) for line in block.splitlines()]


@pytest.fixture(scope="module")
def batching_parameters():
    wrappers = wrappers_pb2.DESCRIPTOR
    file = descriptor_pb2.FileDescriptorProto(
        name="batching.proto", package="test", syntax="proto3", dependency=[wrappers.name]
    )
    message = file.message_type.add(name="BatchingParameters")
    kinds = descriptor_pb2.FieldDescriptorProto
    for number, (name, wrapper) in enumerate(BATCHING_FIELDS, start=1):
        field = message.field.add(name=name, number=number, label=kinds.LABEL_OPTIONAL, type=kinds.TYPE_MESSAGE)
        if wrapper is None:
            field.label, field.type = kinds.LABEL_REPEATED, kinds.TYPE_INT64
        else:
            field.type_name = f".google.protobuf.{wrapper}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("test.BatchingParameters"))


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "birds"
    (folder / "1").mkdir(parents=True)
    write_serving_files(
        folder, 1, name="birds", image_size=24, channels=3, signatures=signatures(), class_names=CLASSES
    )
    return folder


def model_config(text):
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (model,) = config.model_config_list.config
    return model


def test_model_config_serves_the_latest_version(folder):
    model = model_config((folder / "model.config").read_text())
    assert (model.name, model.base_path, model.model_platform) == ("birds", "/models/birds", "tensorflow")
    assert model.model_version_policy.latest.num_versions == 1
    assert not model.version_labels


def test_the_other_policies_of_model_config_are_valid_too(folder):
    text = (folder / "model.config").read_text()
    text = text.replace("model_version_policy { latest { num_versions: 1 } }", "")
    pinned, both, stable, canary = re.findall(r"# (model_version_policy .*|version_labels .*)", text)
    (closing,) = re.findall(r"\n  }\n}\n$", text)
    model = model_config(text.removesuffix(closing) + "\n" + pinned + closing)
    assert list(model.model_version_policy.specific.versions) == [1]
    model = model_config(text.removesuffix(closing) + "\n".join(["", both, stable, canary]) + closing)
    assert list(model.model_version_policy.specific.versions) == [1, 2]
    assert dict(model.version_labels) == {"stable": 1, "canary": 2}


def test_batching_config_keeps_the_servers_rules(folder, batching_parameters):
    parameters = text_format.Parse((folder / "batching.config").read_text(), batching_parameters())
    sizes = list(parameters.allowed_batch_sizes)
    assert sizes == sorted(set(sizes)) == list(BATCH_SIZES)
    # "The final entry must equal max_batch_size": session_bundle_config.proto.
    assert sizes[-1] == parameters.max_batch_size.value
    assert parameters.num_batch_threads.value >= 1
    assert parameters.HasField("batch_timeout_micros") and parameters.HasField("max_enqueued_batches")


def test_edited_configurations_stay(folder):
    (folder / "model.config").write_text("mine")
    (folder / "batching.config").unlink()
    (folder / "2").mkdir()
    write_serving_files(
        folder, 2, name="birds", image_size=24, channels=3, signatures=signatures(), class_names=CLASSES
    )
    assert (folder / "model.config").read_text() == "mine"
    assert (folder / "batching.config").exists()
    assert (folder / "2" / "README.txt").read_text() == (folder / "1" / "README.txt").read_text() == readme()
    assert sorted(path.name for path in folder.iterdir()) == ["1", "2", "batching.config", "model.config"]


def test_readme_states_every_signature():
    text = readme()
    table = {
        name: re.search(rf"\n{name}\n(.*?)\n\n", text, flags=re.DOTALL).group(1).splitlines() for name in signatures()
    }
    rows = {name: {tuple(re.split(r"  +", line.strip())[:3]) for line in lines} for name, lines in table.items()}
    head = {
        ("gives", "features", "float32 [N, 32]"),
        ("gives", "label", "string [N]"),
        ("gives", "logits", "float32 [N, 3]"),
        ("gives", "probabilities", "float32 [N, 3]"),
    }
    assert rows == {
        "serving_default": {("takes", "images", "uint8 [N, H, W, 3]"), *head},
        "from_jpeg": {("takes", "encoded", "string [N]"), ("gives", "valid", "bool [N]"), *head},
        "float_images": {("takes", "images", "float32 [N, 24, 24, 3]"), *head},
        "embed": {("takes", "images", "uint8 [N, H, W, 3]"), ("gives", "embeddings", "float32 [N, 8]")},
    }
    assert "24 x 24 pixels" in text and "cat, dog, émeu" in text
    assert "valid is false where" in text and "must be of one size" in text
    assert all(line == line.rstrip() for line in text.splitlines())


def test_readme_without_a_head_speaks_of_no_class():
    text = readme(signatures=signatures(head=False, channels=1), channels=1, class_names=None)
    assert not re.search(r"class|label|probabilities|logits", text)
    assert "one channel" in text and "uint8 [N, H, W, 1]" in text
    assert 'len(answer["features"])' in text


def test_readme_names_few_of_many_classes():
    text = readme(class_names=[f"class{number}" for number in range(1000)])
    assert "The 1000 classes" in text and "class4, ... , class999" in text and "class5," not in text


def test_commands_are_those_of_this_model():
    lines = commands(readme())
    for line in lines:
        assert line.split()[0] in ("docker", "tensorflow_model_server", "sed", "curl", "(printf")
        subprocess.run(["sh", "-n", "-c", line], check=True)
        assert "birds" in line or "local.config" in line
    assert sum("enable_batching=true" in line for line in lines) == 2
    for code in re.findall(r"```python\n(.*?)```", readme(), flags=re.DOTALL):
        compile(code, "client.py", "exec")


def test_what_is_known_of_its_origin_is_said():
    head = HeadFacts(
        file="r.json", sha256="ab" * 32, protocol="linear-fast", variant="small", seed=7, labels=1200, scores={}
    )
    about = About(
        "2026-11-27", {"tensorflow": "2.21.0"}, "resnet18", head=head, run="night", confidences={"noise": 0.9}
    )
    text = readme(about=about, latency="12.0 ms for one image at a time.")
    for words in (
        "2026-11-27, tensorflow 2.21.0",
        "night",
        "seed 7",
        "1,200 labels",
        "12.0 ms",
        "noise                0.90",
    ):
        assert words in text
    bare = readme()
    assert "Where it comes from" not in bare and "Latency" not in bare and "belong to no class" not in bare


@pytest.mark.skipif(shutil.which("sed") is None, reason="the command runs sed")
def test_configuration_for_a_server_without_docker(folder):
    (line,) = [line for line in commands((folder / "1" / "README.txt").read_text()) if line.startswith("sed")]
    subprocess.run(["sh", "-c", line], cwd=folder, check=True)
    model = model_config((folder / "local.config").read_text())
    assert (model.name, model.base_path) == ("birds", str(folder))


@pytest.mark.parametrize("name", ["two words", "a/b", "a:b", "", "-v", "..", 'a"b', "é"])
def test_names_that_need_quoting_are_refused(tmp_path, name):
    with pytest.raises(ExportError, match="choose another name"):
        write_config_files(tmp_path, name=name)
    with pytest.raises(ExportError, match="choose another name"):
        readme(name=name)
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_for_a_model_without_from_jpeg(tmp_path):
    (tmp_path / "1").mkdir()
    with pytest.raises(ValueError, match="expected also from_jpeg"):
        write_serving_files(
            tmp_path,
            1,
            name="birds",
            image_size=24,
            channels=3,
            signatures={"serving_default": signatures()["serving_default"]},
            class_names=None,
        )
    assert [path.name for path in tmp_path.rglob("*")] == ["1"]


def test_warm_up_has_each_signature_in_each_size(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (3, 6, 7, 3), np.uint8)
    files = np.array([b"first\0\0", b"second"], object)
    examples = {"serving_default": {"images": images}, "from_jpeg": {"encoded": files}}
    path = warmup.write_warmup(tmp_path, warmup.warmup_requests("birds", examples, batch_sizes=(1, 4)))
    assert path == tmp_path / "assets.extra" / "tf_serving_warmup_requests"
    assert [child.name for child in path.parent.iterdir()] == [path.name]
    requests = read_warmup(tmp_path)
    assert {request.model_spec.name for request in requests} == {"birds"}
    found = [
        (request.model_spec.signature_name, name, tf.make_ndarray(tensor))
        for request in requests
        for name, tensor in request.inputs.items()
    ]
    again = [0, 1, 2, 0]
    expected = [
        ("serving_default", "images", images[:1]),
        ("serving_default", "images", images[again]),
        ("from_jpeg", "encoded", files[:1]),
        ("from_jpeg", "encoded", files[[0, 1, 0, 1]]),
    ]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours[:2] == theirs[:2]
        np.testing.assert_array_equal(ours[2], theirs[2])
        assert ours[2].dtype == theirs[2].dtype


def test_warm_up_covers_the_sizes_that_the_server_fills_up_to():
    requests = warmup.warmup_requests("birds", {"float_images": {"images": np.zeros((1, 2, 2, 3), np.float32)}})
    requests = [predict_pb2.PredictRequest.FromString(request) for request in requests]
    sizes = [request.inputs["images"].tensor_shape.dim[0].size for request in requests]
    assert sizes == list(serving.BATCH_SIZES) and sizes[0] == 1


@pytest.mark.parametrize("count", [0, 1001])
def test_warm_up_that_the_server_would_refuse_is_not_written(tmp_path, count):
    request = warmup.predict_request("birds", "from_jpeg", {"encoded": np.array([b"x"], object)})
    with pytest.raises(ValueError, match="expected 1 to 1000"):
        warmup.write_warmup(tmp_path, [request] * count)
    assert not list(tmp_path.iterdir())
