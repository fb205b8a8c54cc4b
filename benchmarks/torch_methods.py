"""Training steps of SimCLR, VICReg and BYOL in PyTorch, written for this comparison from the papers, eager.

Both views pass the model one after the other, as in the Barlow Twins step of `benchmarks.torch_peer`; plain SGD with
momentum takes the step.

Source: arXiv:2002.05709, algorithm 1; arXiv:2105.04906, algorithm 1; arXiv:2006.07733, section 3.
"""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional

from benchmarks.torch_peer import make_encoder, make_projector

RATE, MOMENTUM, TAU = 0.05, 0.9, 0.996


def simclr_loss(z_a: torch.Tensor, z_b: torch.Tensor, temperature: float = 0.1) -> torch.Tensor:
    """Returns the mean cross-entropy of each row's partner among the 2N - 1 other rows, of embeddings [N, D]."""
    rows = functional.normalize(torch.cat([z_a, z_b]), dim=1)
    logits = rows @ rows.T / temperature
    logits.fill_diagonal_(-torch.inf)
    partners = torch.arange(len(rows)).roll(len(z_a))
    return functional.cross_entropy(logits, partners)


def vicreg_loss(z_a: torch.Tensor, z_b: torch.Tensor) -> torch.Tensor:
    """Returns 25 invariance + 25 variance + covariance of embeddings [N, D]."""
    variance = covariance = 0.0
    for z in (z_a, z_b):
        centered = z - z.mean(dim=0)
        variance = variance + functional.relu(1 - torch.sqrt(centered.var(dim=0) + 1e-4)).mean() / 2
        matrix = centered.T @ centered / (len(z) - 1)
        squares = matrix.pow(2).sum() - torch.diagonal(matrix).pow(2).sum()
        covariance = covariance + squares / z.shape[1]
    return 25 * functional.mse_loss(z_a, z_b) + 25 * variance + covariance


class Pair(nn.Module):
    """Encoder and projector, and a loss of both views' embeddings."""

    def __init__(self, depth: int, widths: Sequence[int], loss: Callable[..., torch.Tensor]) -> None:
        """Makes the layers."""
        super().__init__()
        encoder, features = make_encoder(depth, small_stem=True)
        self.network, self.loss = nn.Sequential(encoder, make_projector(features, widths)), loss

    def forward(self, view_a: torch.Tensor, view_b: torch.Tensor) -> torch.Tensor:
        """Returns the loss."""
        return self.loss(self.network(view_a).float(), self.network(view_b).float())

    def follow(self) -> None:
        """Has nothing that follows."""


class BYOL(nn.Module):
    """Encoder, projector, predictor, and a copy that follows the first two."""

    def __init__(self, depth: int, widths: Sequence[int], hidden: int = 4096) -> None:
        """Makes the layers."""
        super().__init__()
        encoder, features = make_encoder(depth, small_stem=True)
        self.network = nn.Sequential(encoder, make_projector(features, widths))
        self.predictor = make_projector(widths[-1], (hidden, widths[-1]))
        self.target = copy.deepcopy(self.network).requires_grad_(False)

    def forward(self, view_a: torch.Tensor, view_b: torch.Tensor) -> torch.Tensor:
        """Returns 4 - 4 times the mean cosine of predictions and targets, both directions."""
        p_a, p_b = (self.predictor(self.network(view)).float() for view in (view_a, view_b))
        with torch.no_grad():
            t_a, t_b = self.target(view_a).float(), self.target(view_b).float()
        cosines = functional.cosine_similarity(p_a, t_b).mean() + functional.cosine_similarity(p_b, t_a).mean()
        return 4 - 2 * cosines

    @torch.no_grad()
    def follow(self) -> None:
        """Moves the copy."""
        for copied, trained in zip(self.target.parameters(), self.network.parameters(), strict=True):
            copied.mul_(TAU).add_(trained, alpha=1 - TAU)


class Step:
    """One training step on two views that lie in memory."""

    def __init__(
        self, method: str, *, depth: int, widths: Sequence[int], image_size: int, batch_size: int, channels_last: bool
    ) -> None:
        """Makes model, optimizer and views.

        Args:
            method: simclr, vicreg or byol.
            depth: 18.
            widths: Widths of the projector.
            image_size: Height and width, pixels.
            batch_size: N.
            channels_last: Memory format of images and weights.
        """
        torch.manual_seed(0)
        memory_format = torch.channels_last if channels_last else torch.contiguous_format
        losses = {"simclr": simclr_loss, "vicreg": vicreg_loss}
        model = BYOL(depth, widths) if method == "byol" else Pair(depth, widths, losses[method])
        self.model = model.to(memory_format=memory_format).train()
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.SGD(trained, lr=RATE, momentum=MOMENTUM)
        shape = (batch_size, 3, image_size, image_size)
        self.views = [torch.randn(shape).contiguous(memory_format=memory_format) for _ in range(2)]

    def __call__(self) -> float:
        """Takes the step and returns its loss."""
        self.optimizer.zero_grad()
        loss = self.model(*self.views)
        loss.backward()
        self.optimizer.step()
        self.model.follow()
        return loss.item()
