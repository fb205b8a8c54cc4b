"""The step that leaves the encoder as it is: what moves, on one replica and on two."""

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.losses import ViewEmbeddings, bind
from barlowtf.models import BarlowTwins, make_projector
from barlowtf.optim import AdamW
from tests.models.test_parts import byol_loss, encoder, views

# The optimizer moves every weight that it is given: decay reaches also those whose gradient is zero.
RATE, DECAY = 0.01, 0.1


def make_model(**options):
    model = BarlowTwins(encoder(), make_projector(8, (16, 8), dtype="float32"), **options)
    model.compile(optimizer=AdamW(RATE, weight_decay=DECAY))
    model.optimizer.build(model.trainable_variables)
    return model


def values(part):
    return [variable.numpy() for variable in part.variables]


def equal(before, after):
    return [np.array_equal(one, other) for one, other in zip(before, after, strict=True)]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"micro_batch": 8},
        {"pairs": 2},
        {"loss": byol_loss(), "total_steps": 8},
        {"loss": bind("swav", {"prototypes": 5, "freeze_prototypes": 0})},
    ],
    ids=["plain", "micro-batch", "pairs", "moving average", "prototypes"],
)
def test_only_the_rest_learns(options):
    model = make_model(**options)
    kept = [part for part in (model.encoder, model.target_encoder) if part is not None]
    learning = [part for part in (model.projector, model.predictor, model.prototypes) if part is not None]
    before = [values(part) for part in (*kept, *learning)]
    logs = model.frozen_training_logs(views())
    after = [values(part) for part in (*kept, *learning)]
    for part, old, new in zip((*kept, *learning), before, after, strict=True):
        expected = part in learning
        assert equal(old, new) == [not expected] * len(old), part.name
    assert float(logs["first_nonfinite"]) == -1.0
    assert float(logs["gradient_norm"]) > 0.0
    assert model.optimizer.iterations.numpy() == 1


def test_the_encoder_is_in_inference_mode():
    """The loss is that of the features that the encoder gives when it is measured."""
    model, pair = make_model(), views()
    y = [model.encoder(view, training=False) for view in pair]
    z = [model.projector(features, training=True) for features in y]
    expected = model.bound_loss.compute([ViewEmbeddings(part) for part in z])["total"]
    logs = model.frozen_training_logs(pair)
    assert float(logs["loss"]) == pytest.approx(float(expected), rel=1e-5)


def test_the_first_tensor_that_is_not_finite_has_its_name():
    model = make_model()
    model.projector.get_layer("projector_3").kernel.assign(np.full((16, 8), np.nan, np.float32))
    index = int(model.frozen_training_logs(views())["first_nonfinite"])
    assert model.checked_names[index] == "embeddings of view a"


def test_two_replicas_take_the_step_of_one(two_replicas):
    pair = views()
    with two_replicas.scope():
        spread = make_model()
    alone = make_model()
    alone.set_weights(spread.get_weights())
    batch = two_replicas.experimental_distribute_values_from_function(
        lambda context: tuple(view[context.replica_id_in_sync_group * 8 :][:8] for view in pair)
    )
    step = tf.function(lambda data: two_replicas.run(spread.frozen_training_logs, args=(data,)))
    before = values(spread.encoder)
    for _ in range(2):
        step(batch)
        alone.frozen_training_logs(pair)
    assert all(equal(before, values(spread.encoder)))
    for a, b in zip(spread.projector.variables, alone.projector.variables, strict=True):
        # Two steps of Adam, float32 sums in another order.
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-5, err_msg=a.path)
