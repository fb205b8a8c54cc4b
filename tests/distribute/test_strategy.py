import pytest
import tensorflow as tf

from barlowtf.distribute import make_strategy
from barlowtf.errors import ConfigError


def test_one():
    strategy = make_strategy("one")
    assert strategy.num_replicas_in_sync == 1
    assert strategy is tf.distribute.get_strategy()
    assert make_strategy("one", replicas=1).num_replicas_in_sync == 1


def test_mirrored_splits_the_cpu(two_replicas):
    assert two_replicas.num_replicas_in_sync == 2
    assert isinstance(two_replicas, tf.distribute.MirroredStrategy)
    assert make_strategy("mirrored", replicas=1).num_replicas_in_sync == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("one", 2), 'received 2, expected 1 with strategy "one"'),
        (("mirrored", None), 'Strategy "mirrored" found no GPU'),
        (("mirrored", 0), "Invalid replicas: received 0, expected at least 1."),
        (("multiworker", None), 'received "multiworker", expected TF_CONFIG or a SLURM step'),
        (("multiworker", 2), 'received 2, expected none: strategy "multiworker" uses every device'),
        (("tpu", None), 'Strategy "tpu" found no TPU'),
        (("mirored", None), 'received "mirored", expected one of one, mirrored, multiworker, tpu.'),
    ],
)
def test_what_cannot_be_given(arguments, message, monkeypatch):
    for name in ("TF_CONFIG", "SLURM_PROCID", "TPU_NAME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError) as caught:
        make_strategy(*arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_cpu_cannot_be_split_after_the_start():
    tf.constant(0.0)
    with pytest.raises(ConfigError, match="received 3, expected at most 2: TensorFlow has started"):
        make_strategy("mirrored", replicas=3)


def test_one_inside_another_scope(two_replicas):
    with two_replicas.scope(), pytest.raises(ConfigError, match="inside the scope of another"):
        make_strategy("one")


def test_more_replicas_than_gpus(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a"] if kind == "GPU" else [])
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: ["a"] if kind == "GPU" else [])
    with pytest.raises(ConfigError, match="received 4, expected at most 1, the number of GPUs"):
        make_strategy("mirrored", replicas=4)
