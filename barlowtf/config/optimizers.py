"""The recipe's [optimizer]: one table of settings for each optimizer, so that no key does nothing.

Rates are for a batch of 256 and grow with batch_size / 256.
"""

from typing import Annotated, Literal

from pydantic import Field

from barlowtf.config.section import NonNegative, Positive, Section

Momentum = Annotated[float, Field(ge=0.0, lt=1.0)]


class Schedule(Section):
    """What all optimizers have: a rate and its course, decay, and the scale of the gradient."""

    name: str
    learning_rate: Positive
    weight_decay: NonNegative
    warmup_epochs: NonNegative = Field(10.0, description="length of the linear rise of the rate")
    warmup_start: NonNegative | None = Field(
        None,
        description="rate of the first step, whatever the batch; the peak then comes one step earlier (solo-learn). "
        "none: from 0 (the authors' code)",
    )
    final_scale: NonNegative = Field(0.001, description="rate at the end, as a share of the peak")
    gradient_scale: Positive = Field(
        1.0, description="factor on every gradient; 1/16 repeats the authors' averaging over 16 devices"
    )


class LARS(Schedule):
    """Layer-wise adaptive rates; defaults of the authors' code."""

    name: Literal["lars"] = "lars"
    learning_rate: Positive = Field(0.2, description="weights, per 256 images of batch")
    bias_learning_rate: Positive | None = Field(
        0.0048, description="biases and normalization parameters, per 256 images of batch; none: learning_rate"
    )
    weight_decay: NonNegative = Field(1e-6, description="of weights; the paper says 1.5e-6")
    momentum: Momentum = Field(0.9, description="share of the last update that is kept")
    eta: Positive = Field(0.001, description="trust coefficient")
    clip: bool = Field(
        False, description="weights move at most as far as by SGD; the trust ratio is solo-learn's, see optim.LARS"
    )


class LAMB(Schedule):
    """Adam's direction, scaled by the norms of weight and update."""

    name: Literal["lamb"] = "lamb"
    learning_rate: Positive = Field(0.001, description="per 256 images of batch; default of TensorFlow Addons")
    weight_decay: NonNegative = Field(1e-6, description="of weights, inside the trust ratio")


class AdamW(Schedule):
    """Adam with decay apart from the gradient."""

    name: Literal["adamw"] = "adamw"
    learning_rate: Positive = Field(0.001, description="per 256 images of batch; default of Keras")
    weight_decay: NonNegative = Field(1e-4, description="of weights, apart from the gradient")


class SGD(Schedule):
    """Stochastic gradient descent with momentum."""

    name: Literal["sgd"] = "sgd"
    learning_rate: Positive = Field(0.01, description="per 256 images of batch; default of Keras")
    weight_decay: NonNegative = Field(1e-4, description="of weights, apart from the gradient")
    momentum: Momentum = Field(0.9, description="share of the last update that is kept")


class TorchSGD(Schedule):
    """Stochastic gradient descent with momentum as PyTorch has it: the rate outside the momentum buffer."""

    name: Literal["torch_sgd"] = "torch_sgd"
    learning_rate: Positive = Field(0.03, description="per 256 images of batch; SimSiam's for CIFAR-10")
    weight_decay: NonNegative = Field(5e-4, description="of all parameters, as a part of the gradient; SimSiam's")
    momentum: Momentum = Field(0.9, description="share of the last update that is kept")


OPTIMIZERS: dict[str, type[Schedule]] = {
    **{"lars": LARS, "lamb": LAMB, "adamw": AdamW},
    **{"sgd": SGD, "torch_sgd": TorchSGD},
}
Optimizer = Annotated[LARS | LAMB | AdamW | SGD | TorchSGD, Field(discriminator="name")]
