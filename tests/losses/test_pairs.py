"""Which pairs of views a loss of two views is averaged over."""

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.losses import ViewEmbeddings, barlow_twins_loss, bind, mean_over_pairs
from barlowtf.losses.vicreg import vicreg_loss


def _views(full, local):
    r = np.random.default_rng(0)
    common = r.standard_normal((12, 5))
    z = [tf.constant(common + 0.5 * r.standard_normal(common.shape), tf.float32) for _ in range(full + local)]
    return z, [ViewEmbeddings(rows, local=number >= full) for number, rows in enumerate(z)]


def test_every_pair_with_a_full_view_counts_once_the_full_one_first():
    seen = []

    def pair_loss(first, second):
        seen.append((float(first.z), float(second.z)))
        return {"total": first.z * second.z}

    views = [ViewEmbeddings(tf.constant(float(n)), local=n > 2) for n in (1, 2, 3, 4, 5)]
    total = mean_over_pairs(pair_loss, views)["total"]
    assert seen == [(1, 2), (1, 3), (1, 4), (1, 5), (2, 3), (2, 4), (2, 5)]
    assert float(total) == pytest.approx(np.mean([a * b for a, b in seen]))


@pytest.mark.parametrize(("name", "loss"), [("barlow_twins", barlow_twins_loss), ("vicreg", vicreg_loss)])
@pytest.mark.parametrize(("full", "local"), [(2, 0), (2, 1), (2, 3), (4, 2)])
def test_losses_of_two_views_take_local_ones(name, loss, full, local):
    z, views = _views(full, local)
    pairs = [(i, j) for j in range(full + local) for i in range(min(j, full))]
    assert len(pairs) == full * (full - 1) // 2 + full * local
    expected = np.mean([loss(z[i], z[j]).total for i, j in pairs])
    # float32 sums in another order.
    assert float(bind(name).compute(views)["total"]) == pytest.approx(expected, rel=1e-6)
