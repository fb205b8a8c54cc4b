"""What exports are compared with: the parts in float32, whatever they were trained in."""

import dataclasses

import numpy as np

from barlowtf.export.verification import source_outputs
from barlowtf.models import make_encoder, make_projector

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def test_source_outputs_are_float32_also_of_parts_trained_in_bfloat16(parts, views, expected):
    encoder = make_encoder("resnet10_w0p0625", image_shape=(None, None, 3), stem="small", dtype="mixed_bfloat16")
    projector = make_projector(32, (16, 8), dtype="mixed_bfloat16")
    encoder.set_weights(parts.encoder.get_weights())
    projector.set_weights(parts.projector.get_weights())
    outputs = source_outputs(dataclasses.replace(parts, encoder=encoder, projector=projector), views)
    assert set(outputs) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(outputs[name], value, **CLOSE)
