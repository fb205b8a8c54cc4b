"""The peers do what the authors' code does: a comparison with something else would say nothing."""

import random
from importlib import import_module

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the benchmarks' peers need the extra `bench`")


@pytest.fixture
def peer():
    """Imports a module once PyTorch is known to be there."""
    return lambda name: import_module(f"benchmarks.{name}")


@pytest.mark.parametrize("case", range(3))
def test_loss_matches_the_authors(peer, golden, case):
    recorded = np.load(golden / "loss.npz")
    z_a, z_b = (torch.tensor(recorded[f"{case}/{name}"], requires_grad=True) for name in ("z1", "z2"))
    normalization = torch.nn.BatchNorm1d(z_a.shape[1], affine=False)
    loss = peer("torch_peer").barlow_twins_loss(normalization(z_a), normalization(z_b), lambd=0.0051)
    loss.backward()
    # The same operations in float32, up to the order of sums.
    np.testing.assert_allclose(loss.item(), recorded[f"{case}/loss"], rtol=1e-5)
    for z, name in ((z_a, "dz1"), (z_b, "dz2")):
        expected = recorded[f"{case}/{name}"]
        assert np.linalg.norm(z.grad.numpy() - expected) <= 1e-5 * np.linalg.norm(expected)


def test_lars_matches_the_authors(peer, golden):
    recorded = np.load(golden / "lars.npz")
    parameters = [torch.nn.Parameter(torch.tensor(recorded[f"start/{i}"])) for i in range(4)]
    groups = [{"params": [p for p in parameters if (p.ndim > 1) == weights], "lr": 0.0} for weights in (True, False)]
    optimizer = peer("torch_peer").LARS(
        groups,
        weight_decay=float(recorded["weight_decay"]),
        momentum=float(recorded["momentum"]),
        eta=float(recorded["eta"]),
    )
    for step in range(8):
        optimizer.param_groups[0]["lr"] = float(recorded["learning_rate"][step])
        optimizer.param_groups[1]["lr"] = float(recorded["bias_learning_rate"][step])
        for index, parameter in enumerate(parameters):
            parameter.grad = torch.tensor(recorded[f"grad/{step}/{index}"])
        optimizer.step()
        for index, parameter in enumerate(parameters):
            # The same float32 operations in the same order: equal up to fused multiply-adds.
            np.testing.assert_allclose(
                parameter.detach().numpy(), recorded[f"after/{step}/{index}"], rtol=1e-6, atol=1e-7
            )


@pytest.mark.parametrize(("depth", "small_stem", "expected"), [(18, True, 11_168_832), (50, False, 23_508_032)])
def test_encoder_has_the_parameters_of_its_resnet(peer, depth, small_stem, expected):
    encoder, features = peer("torch_peer").make_encoder(depth, small_stem=small_stem)
    assert features == {18: 512, 50: 2048}[depth]
    # torchvision's counts without the classifier: 23,508,032; and 11,176,512 less 7,680 for the 3×3 stem.
    assert sum(parameter.numel() for parameter in encoder.parameters()) == expected


def test_pil_crops_have_the_recorded_distribution(peer, golden):
    recorded = np.load(golden / "crop_distribution.npz")
    draws, boxes = random.Random(0), []

    class Image:
        """Takes down the box instead of cutting it."""

        size = (500, 375)

        def crop(self, box):
            boxes.append(box)
            return self

        def resize(self, size, resample):
            return self

    for _ in range(5000):
        peer("pil_peer").random_resized_crop(Image(), draws)
    left, top, right, bottom = np.array(boxes).T
    area = (right - left) * (bottom - top) / (500 * 375)
    aspect = np.log((right - left) / (bottom - top))
    # A quantile of 5,000 draws scatters by at most 0.5 / √5000 = 0.007 of probability, here at most 0.01 of area or
    # logarithm: 0.03 is over three of these.
    quantiles = recorded["quantile"]
    np.testing.assert_allclose(np.quantile(area, quantiles), recorded["area"], atol=0.03)
    np.testing.assert_allclose(np.quantile(aspect, quantiles), recorded["log_aspect"], atol=0.03)
