"""Differentiable collectives: one value from all replicas, with the gradient of the global loss.

Letters: R replicas, each with its own loss_r; x_r the input of replica r. The gradient that flows back
through a collective is that of the *sum* of the replicas' losses, d(Σ_r loss_r)/dx_r. So when every replica computes
the same global loss L, each one differentiates L / R; the gradients of the weights, summed over replicas (Keras'
optimizers do that), are then exactly those of L.

Outside a replica context (one device, model building, eager calls) the whole batch is in one place and each function is
the identity. All replicas must call the same collectives in the same order.
"""

import tensorflow as tf


def replica_count() -> int:
    """Returns the number of replicas that share the present computation, >= 1; 1 outside a replica context."""
    context = tf.distribute.get_replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def replica_index() -> tf.Tensor | int:
    """Returns the index of this replica, in [0, `replica_count()`): an int, or an int32 scalar known at run time."""
    context = tf.distribute.get_replica_context()
    return 0 if context is None else context.replica_id_in_sync_group


def all_reduce_sum(x: tf.Tensor) -> tf.Tensor:
    """Returns the sum of `x` over all replicas, equal on each.

    Args:
        x: float, any shape, the same shape on all replicas.

    Returns:
        Same dtype and shape as `x`. Its gradient is the all-reduced sum of the incoming gradients.
    """
    if replica_count() == 1:
        return tf.convert_to_tensor(x)
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, x)


def all_gather(x: tf.Tensor) -> tf.Tensor:
    """Returns the `x` of all replicas, concatenated along axis 0 in the order of their indices, equal on each.

    Args:
        x: float [n, ...]; n may differ between replicas (not on TPU), the other axes may not.

    Returns:
        Same dtype, [N, ...] with N the sum of the replicas' n. Its gradient is this replica's rows of the all-reduced
        sum of the incoming gradients.
    """
    if replica_count() == 1:
        return tf.convert_to_tensor(x)
    gathered = tf.distribute.get_replica_context().all_gather(x, axis=0)
    gathered.set_shape([None, *x.shape[1:]])  # TensorFlow forgets every axis
    return gathered
