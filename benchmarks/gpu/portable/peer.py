"""The same work in PyTorch, as a user would run it on the card: channels_last, autocast, eager and torch.compile."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from . import torch_peer

# ImageNet's, of pixels in [0, 1].
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Peer:
    """One case in PyTorch; every call of `run` does its work once.

    Attributes:
        device: The first GPU, or the CPU.
    """

    def __init__(self, facts: dict[str, Any], *, tf32: bool) -> None:
        """Makes modules and data.

        Args:
            facts: The case's entry "peer" of cases.json.
            tf32: Whether float32 products may round their inputs to TensorFloat-32.
        """
        torch.manual_seed(0)
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        torch.backends.cudnn.allow_tf32 = tf32
        torch.backends.cudnn.benchmark = True  # As the authors' main.py: the shapes never change.
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._bfloat16 = facts["bfloat16"]
        self._work = _KINDS[facts["kind"]](facts, self.device)

    def run(self, *, compiled: bool) -> float:
        """Does the work once and returns a number of its result, which waits for the device."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._bfloat16):
            result = self._work.forward(compiled)
        return self._work.finish(result)

    def reset_peak(self) -> None:
        """Begins to watch the peak memory."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()

    def peak_bytes(self) -> int | None:
        """Returns the most memory of the allocator since `reset_peak`, bytes; None on a CPU."""
        return torch.cuda.max_memory_allocated() if self.device.type == "cuda" else None


class _Training:
    """The authors' step on normalized views that lie on the device."""

    def __init__(self, facts: dict[str, Any], device: torch.device) -> None:
        model = torch_peer.BarlowTwins(
            facts["depth"], facts["widths"], small_stem=facts["small_stem"], lambd=facts["lambd"]
        )
        self._model = model.to(device, memory_format=torch.channels_last).train()
        self._compiled = torch.compile(self._model)
        parameters = list(self._model.parameters())
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "lr": facts["learning_rate"]},
            {"params": [p for p in parameters if p.ndim == 1], "lr": facts["bias_learning_rate"]},
        ]
        self._optimizer = torch_peer.LARS(groups, weight_decay=1e-6)
        shape = (facts["batch_size"], 3, facts["image_size"], facts["image_size"])
        self._views = [
            torch.randn(shape, device=device).contiguous(memory_format=torch.channels_last) for _ in range(2)
        ]

    def forward(self, compiled: bool) -> torch.Tensor:
        self._optimizer.zero_grad()
        return (self._compiled if compiled else self._model)(*self._views)

    def finish(self, loss: torch.Tensor) -> float:
        loss.backward()
        self._optimizer.step()
        return loss.item()


class _Loss:
    """Value and gradient of the authors' loss, which makes the D×D matrix."""

    def __init__(self, facts: dict[str, Any], device: torch.device) -> None:
        normalization = nn.BatchNorm1d(facts["width"], affine=False).to(device)

        def loss(z_a: torch.Tensor, z_b: torch.Tensor) -> torch.Tensor:
            return torch_peer.barlow_twins_loss(normalization(z_a), normalization(z_b), lambd=facts["lambd"])

        self._loss, self._compiled = loss, torch.compile(loss)
        shape = (facts["batch_size"], facts["width"])
        self._embeddings = [torch.randn(shape, device=device, requires_grad=True) for _ in range(2)]

    def forward(self, compiled: bool) -> torch.Tensor:
        for embeddings in self._embeddings:
            embeddings.grad = None
        return (self._compiled if compiled else self._loss)(*self._embeddings)

    def finish(self, loss: torch.Tensor) -> float:
        loss.backward()
        return loss.item()


class _Inference:
    """Features of uint8 images that lie on the device."""

    def __init__(self, facts: dict[str, Any], device: torch.device) -> None:
        encoder, _ = torch_peer.make_encoder(facts["depth"], small_stem=facts["small_stem"])
        encoder = encoder.to(device, memory_format=torch.channels_last).eval()
        mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (_MEAN, _STD))

        def features(images: torch.Tensor) -> torch.Tensor:
            return encoder((images.float() / 255.0 - mean) / std).float()

        self._features, self._compiled = features, torch.compile(features)
        shape = (facts["batch_size"], 3, facts["image_size"], facts["image_size"])
        images = torch.randint(0, 256, shape, dtype=torch.uint8, device=device)
        self._images = images.contiguous(memory_format=torch.channels_last)

    def forward(self, compiled: bool) -> torch.Tensor:
        with torch.inference_mode():
            return (self._compiled if compiled else self._features)(self._images)

    def finish(self, features: torch.Tensor) -> float:
        return features.mean().item()


_KINDS: dict[str, Callable[[dict[str, Any], torch.device], Any]] = {
    "step": _Training,
    "loss": _Loss,
    "inference": _Inference,
}
