"""A loss of several batches of embeddings against recorded numbers, an oracle and itself on two replicas."""

import numpy as np
import tensorflow as tf


def value_and_gradients(loss, *embeddings):
    """Returns what the loss gives, whose `total` is its value, and the gradient of the total by each batch."""
    embeddings = [tf.convert_to_tensor(z) for z in embeddings]
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        terms = loss(*embeddings)
    return terms, tape.gradient(terms.total, embeddings, unconnected_gradients="zero")


def relative_distance(value, expected):
    value, expected = np.asarray(value, "f8"), np.asarray(expected, "f8")
    return np.linalg.norm(value - expected) / max(np.linalg.norm(expected), 1e-30)


def on_two_replicas(two_replicas, loss, *embeddings):
    """Returns the terms on each replica, and the gradients of all rows, of embeddings that are split in two halves."""
    half = len(embeddings[0]) // 2

    def split(z):
        return two_replicas.experimental_distribute_values_from_function(
            lambda context: tf.constant((z[:half], z[half:])[context.replica_id_in_sync_group])
        )

    @tf.function
    def step(*own):
        with tf.GradientTape() as tape:
            tape.watch(own)
            terms = loss(*own)
            share = terms.total / 2
        return terms, tape.gradient(share, own, unconnected_gradients="zero")

    terms, gradients = two_replicas.run(step, args=tuple(split(z) for z in embeddings))
    values = [[float(part) for part in two_replicas.experimental_local_results(term)] for term in terms]
    rows = [
        np.concatenate([part.numpy() for part in two_replicas.experimental_local_results(gradient)])
        for gradient in gradients
    ]
    return values, rows


def correlated_views(examples, dimensions, count=2, seed=0):
    """Views that share a part, with dimensions of other scales and means."""
    random = np.random.default_rng(seed)
    common = random.standard_normal((examples, dimensions))
    scale, shift = random.uniform(0.2, 1.5, dimensions), random.uniform(-1.0, 1.0, dimensions)
    return [((common + 0.5 * random.standard_normal(common.shape)) * scale + shift).astype("f4") for _ in range(count)]
