"""Measures features on the device: a vote of the nearest neighbors, and a linear classifier."""

from typing import Any

import numpy as np

# Queries whose similarities to the whole bank are held at once.
_BLOCK = 500
# Of the classifier: full-batch steps of Adam on standardized features, its rate falling along half a cosine.
_STEPS, _RATE, _DECAY = 1000, 0.01, 1e-4


def knn_accuracy(
    bank: Any, bank_labels: np.ndarray, queries: Any, query_labels: np.ndarray, *, neighbors: int, temperature: float
) -> float:
    """Returns the share of queries whose class the vote finds, as the library's protocol "knn" does.

    Args:
        bank: Features, float32 [M, d].
        bank_labels: Their classes, integers [M].
        queries: Features, float32 [Q, d].
        query_labels: Their classes, integers [Q].
        neighbors: k, the features of highest cosine similarity that vote.
        temperature: A vote weighs exp(similarity / temperature).
    """
    import jax
    import jax.numpy as jnp

    classes = int(max(bank_labels.max(), query_labels.max())) + 1
    labels = jnp.asarray(bank_labels)

    def unit(rows: Any) -> Any:
        return rows / jnp.maximum(jnp.linalg.norm(rows, axis=1, keepdims=True), 1e-12)

    @jax.jit
    def predict(rows: Any, all_rows: Any) -> Any:
        similarity, index = jax.lax.top_k(jnp.matmul(rows, all_rows.T, precision="highest"), neighbors)
        weight = jnp.exp((similarity - similarity[:, :1]) / temperature)
        return jnp.argmax(jnp.sum(jax.nn.one_hot(labels[index], classes) * weight[:, :, None], axis=1), axis=1)

    bank, queries = unit(jnp.asarray(bank)), unit(jnp.asarray(queries))
    starts = range(0, len(queries), _BLOCK)
    predicted = np.concatenate([np.asarray(predict(queries[start : start + _BLOCK], bank)) for start in starts])
    return float(np.mean(predicted == query_labels))


def linear_accuracy(
    features: Any, labels: np.ndarray, test_features: Any, test_labels: np.ndarray, *, steps: int = _STEPS
) -> float:
    """Returns the accuracy on the test features of a softmax regression on the others, after its last step."""
    import jax
    import jax.numpy as jnp

    features, test_features = jnp.asarray(features), jnp.asarray(test_features)
    mean, std = features.mean(axis=0), features.std(axis=0) + 1e-6
    features, test_features = (features - mean) / std, (test_features - mean) / std
    truth = jax.nn.one_hot(jnp.asarray(labels), int(labels.max()) + 1, dtype=jnp.float32)

    def objective(weights: Any) -> Any:
        logits = features @ weights[:-1] + weights[-1]
        loss = -jnp.mean(jnp.sum(truth * jax.nn.log_softmax(logits), axis=1))
        return loss + 0.5 * _DECAY * jnp.sum(weights[:-1] ** 2)

    def adam(step: Any, state: Any) -> Any:
        weights, first, second = state
        gradient = jax.grad(objective)(weights)
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        time = step.astype(jnp.float32) + 1.0
        rate = _RATE * (1.0 + jnp.cos(jnp.pi * (time - 1.0) / steps)) / 2.0
        update = (first / (1.0 - 0.9**time)) / (jnp.sqrt(second / (1.0 - 0.999**time)) + 1e-8)
        return weights - rate * update, first, second

    start = jnp.zeros((features.shape[1] + 1, truth.shape[1]), jnp.float32)
    weights, _, _ = jax.jit(lambda state: jax.lax.fori_loop(0, steps, adam, state))((start, start, start))
    predicted = jnp.argmax(test_features @ weights[:-1] + weights[-1], axis=1)
    return float(np.mean(np.asarray(predicted) == test_labels))
