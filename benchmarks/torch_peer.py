"""The authors' training step in PyTorch, written for this comparison from the paper.

It is what the authors' main.py does on one device: both views pass the model one after the other, the embeddings are
normalized without affine parameters, C = ẑ_aᵀ ẑ_b / N, a loop over the parameters takes the LARS step, all eager.

Source: arXiv:2103.03230, algorithm 1; facebookresearch/barlowtwins main.py, classes BarlowTwins and LARS.
"""

from collections.abc import Sequence

import torch
from torch import nn

# Depth -> whether blocks are bottlenecks, and blocks in each of the four stages.
_RESNETS = {18: (False, (2, 2, 2, 2)), 50: (True, (3, 4, 6, 3))}
_EXPANSION = 4


def convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    """Convolution without bias, padded symmetrically; weights Kaiming normal, fan out."""
    layer = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer


class Block(nn.Module):
    """Residual block of ResNet v1.5: basic, or a bottleneck with the stride in its 3×3 convolution."""

    def __init__(self, inputs: int, width: int, stride: int, *, bottleneck: bool) -> None:
        """Makes the layers; gamma of the last normalization starts at 0."""
        super().__init__()
        outputs = width * (_EXPANSION if bottleneck else 1)
        # Kernel size, input and output channels and stride of each convolution.
        plan = [(3, inputs, width, stride), (3, width, width, 1)]
        if bottleneck:
            plan = [(1, inputs, width, 1), (3, width, width, stride), (1, width, outputs, 1)]
        layers: list[nn.Module] = []
        for size, before, after, step in plan:
            layers += [convolution(before, after, size, step), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        self.residual = nn.Sequential(*layers[:-1])
        nn.init.zeros_(self.residual[-1].weight)
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(convolution(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns relu(residual(x) + shortcut(x)), [N, C, H, W]."""
        return self.relu(self.residual(x) + self.shortcut(x))


def make_encoder(depth: int, *, small_stem: bool) -> tuple[nn.Module, int]:
    """Returns a ResNet without classifier, [N, 3, H, W] -> [N, d], and d."""
    bottleneck, counts = _RESNETS[depth]
    stem: list[nn.Module] = [convolution(3, 64, 3 if small_stem else 7, 1 if small_stem else 2)]
    stem += [nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
    if not small_stem:
        stem.append(nn.MaxPool2d(3, 2, padding=1))
    blocks, channels = [], 64
    for stage, count in enumerate(counts):
        width = 64 * 2**stage
        for index in range(count):
            stride = 2 if stage > 0 and index == 0 else 1
            blocks.append(Block(channels, width, stride, bottleneck=bottleneck))
            channels = width * (_EXPANSION if bottleneck else 1)
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten()), channels


def make_projector(features: int, widths: Sequence[int]) -> nn.Module:
    """Returns linear layers without biases, normalization and ReLU after all but the last."""
    layers: list[nn.Module] = []
    for before, after in zip([features, *widths[:-1]], widths, strict=True):
        layers += [nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-2])


def barlow_twins_loss(z_a: torch.Tensor, z_b: torch.Tensor, *, lambd: float) -> torch.Tensor:
    """Returns Σ(1 - C_ii)² + lambd Σ_{i≠j} C_ij² of normalized embeddings [N, D], by the D×D matrix C."""
    correlation = z_a.T @ z_b / len(z_a)
    diagonal = torch.diagonal(correlation)
    invariance = (diagonal - 1).pow(2).sum()
    redundancy = correlation.pow(2).sum() - diagonal.pow(2).sum()
    return invariance + lambd * redundancy


class BarlowTwins(nn.Module):
    """Two views [N, 3, H, W] -> the loss, a scalar."""

    def __init__(self, depth: int, widths: Sequence[int], *, small_stem: bool, lambd: float = 0.0051) -> None:
        """Makes encoder, projector and the normalization of the embeddings."""
        super().__init__()
        self.encoder, features = make_encoder(depth, small_stem=small_stem)
        self.projector = make_projector(features, widths)
        self.normalization = nn.BatchNorm1d(widths[-1], affine=False)
        self.lambd = lambd

    def forward(self, view_a: torch.Tensor, view_b: torch.Tensor) -> torch.Tensor:
        """Returns the loss of the two views."""
        z_a = self.projector(self.encoder(view_a))
        z_b = self.projector(self.encoder(view_b))
        return barlow_twins_loss(self.normalization(z_a), self.normalization(z_b), lambd=self.lambd)


class LARS(torch.optim.Optimizer):
    """LARS with the rate outside the momentum; tensors of one axis take neither decay nor trust ratio."""

    def __init__(self, groups: list[dict], *, weight_decay: float, momentum: float = 0.9, eta: float = 0.001) -> None:
        """Takes parameter groups with an "lr" each."""
        super().__init__(groups, {"weight_decay": weight_decay, "momentum": momentum, "eta": eta})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Takes one step, one parameter after the other."""
        for group in self.param_groups:
            for parameter in group["params"]:
                update = parameter.grad
                if parameter.ndim > 1:
                    update = update.add(parameter, alpha=group["weight_decay"])
                    weight_norm, update_norm = torch.norm(parameter), torch.norm(update)
                    usable = (weight_norm > 0) & (update_norm > 0)
                    ratio = group["eta"] * weight_norm / update_norm
                    update = update.mul(torch.where(usable, ratio, torch.ones_like(ratio)))
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                state["momentum"].mul_(group["momentum"]).add_(update)
                parameter.add_(state["momentum"], alpha=-group["lr"])


class Step:
    """One training step on two views that lie in memory."""

    def __init__(
        self,
        *,
        depth: int,
        widths: Sequence[int],
        small_stem: bool,
        image_size: int,
        batch_size: int,
        bfloat16: bool,
        channels_last: bool,
    ) -> None:
        """Makes model, optimizer and views.

        Args:
            depth: 18 or 50.
            widths: Widths of the projector.
            small_stem: 3×3 stem without pooling.
            image_size: Height and width, pixels.
            batch_size: N.
            bfloat16: Under torch.autocast, as the authors train.
            channels_last: Memory format of images and weights; otherwise contiguous, PyTorch's default.
        """
        torch.manual_seed(0)
        memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.model = BarlowTwins(depth, widths, small_stem=small_stem).to(memory_format=memory_format).train()
        weights = [parameter for parameter in self.model.parameters() if parameter.ndim > 1]
        biases = [parameter for parameter in self.model.parameters() if parameter.ndim == 1]
        self.optimizer = LARS([{"params": weights, "lr": 0.2}, {"params": biases, "lr": 0.0048}], weight_decay=1e-6)
        shape = (batch_size, 3, image_size, image_size)
        self.views = [torch.randn(shape).contiguous(memory_format=memory_format) for _ in range(2)]
        self.bfloat16 = bfloat16

    def __call__(self) -> float:
        """Takes the step and returns its loss."""
        self.optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bfloat16):
            loss = self.model(*self.views)
        loss.backward()
        self.optimizer.step()
        return loss.item()
