"""What is measured, in the order of its worth: a run that must end early has measured the first cases."""

from dataclasses import dataclass, replace

# Rates of an early warm-up step of the authors' schedule: the work of a step does not depend on them, and the losses of
# many steps on one batch stay finite.
LEARNING_RATE, BIAS_LEARNING_RATE = 0.0032, 7.7e-5
LAMBD = 0.0051


@dataclass(frozen=True)
class StepCase:
    """Whole training step.

    Attributes:
        encoder: Name of the encoder.
        image_size: Height and width of the views, pixels.
        batch_size: Images per step, N; the encoder sees two views of each.
        projector: Widths of the projector; the last is D.
        bfloat16: Whether the encoder and the projector compute in bfloat16.
        variants: "plain" takes views in memory, as the PyTorch peer does; "augmented" takes crops and makes the views.
    """

    encoder: str
    image_size: int
    batch_size: int
    projector: tuple[int, ...]
    bfloat16: bool
    variants: tuple[str, ...] = ("plain", "augmented")


@dataclass(frozen=True)
class LossCase:
    """The loss alone, value and gradient, in both of its forms, float32.

    Attributes:
        batch_size: N.
        width: D.
    """

    batch_size: int
    width: int


@dataclass(frozen=True)
class InferenceCase:
    """Features of uint8 images by an encoder in inference mode; the normalization is inside.

    Attributes:
        encoder: Name of the encoder.
        image_size: Height and width, pixels.
        batch_size: Images per call.
        bfloat16: Whether the encoder computes in bfloat16.
    """

    encoder: str
    image_size: int
    batch_size: int
    bfloat16: bool


@dataclass(frozen=True)
class TrainingCase:
    """A training run by a recipe, with the whole input in the compiled step, and its evaluation.

    Attributes:
        recipe: Name of the recipe.
        overrides: Changes of the recipe, "section.key=value".
        neighbors: k of kNN.
        temperature: Of kNN's votes.
        feature_batch: Images per call of the encoder when features are extracted.
    """

    recipe: str
    overrides: tuple[str, ...] = ()
    neighbors: int = 200
    temperature: float = 0.1
    feature_batch: int = 500


Case = StepCase | LossCase | InferenceCase | TrainingCase

_RESNET50 = StepCase("resnet50", 224, 256, (8192, 8192, 8192), bfloat16=True)
CASES: dict[str, Case] = {
    "resnet50-256-bfloat16": _RESNET50,
    "resnet18-512-bfloat16": StepCase("resnet18", 32, 512, (2048, 2048, 2048), bfloat16=True),
    "loss-256-8192": LossCase(256, 8192),
    "loss-2048-8192": LossCase(2048, 8192),
    "inference-resnet18-256": InferenceCase("resnet18", 224, 256, bfloat16=True),
    "resnet50-256-float32": replace(_RESNET50, bfloat16=False),
    "resnet50-512-bfloat16": replace(_RESNET50, batch_size=512),
    "resnet50-512-float32": replace(_RESNET50, batch_size=512, bfloat16=False),
    "train": TrainingCase("cifar10"),
}


def scaled_down(case: Case) -> Case:
    """Returns a case of the same kind, depth and precision that a CPU takes seconds for."""
    match case:
        case StepCase():
            return replace(case, image_size=32, batch_size=case.batch_size // 32, projector=(64, 64, 64))
        case LossCase():
            return LossCase(case.batch_size // 16, case.width // 16)
        case InferenceCase():
            return replace(case, image_size=64, batch_size=8)
        case TrainingCase():
            # An eighth of the channels and half of the views' size: the same program, small enough for a few minutes.
            small = ("model.encoder=resnet18_w0p125", "model.projector=[256, 256, 256]", "train.batch_size=100")
            return replace(case, overrides=small, neighbors=20, feature_batch=200)
