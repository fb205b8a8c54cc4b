"""The recipe: every setting of a pre-training run, its range, its default and the source of the default.

A recipe is strict: an unknown key, a wrong type or a value out of range is an error, never a silent default.
Defaults are those of the authors' code (facebookresearch/barlowtwins, main.py) unless a description says otherwise.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from barlowtf.config.optimizers import LARS, Optimizer
from barlowtf.config.section import Count, NonNegative, Positive, Probability, Section, Side, Width
from barlowtf.config.watching import Checkpoint, Monitor


class Data(Section):
    """Where the images come from."""

    source: str = Field("digits", description="digits | a folder | tfds:NAME | tfrecord:GLOB")
    channels: Count = Field(3, description="channels per image; grayscale and RGB are converted to 1 or 3")
    depth: Literal[8, 16] = Field(
        8, description="bits of a pixel in crops and center views; 16 keeps those of 16-bit files"
    )
    white: Annotated[int, Field(ge=255, le=65535)] = Field(
        65535, description="value of a 16-bit pixel that counts as white, e.g. 4095 for cameras of 12 bits"
    )
    background: Annotated[str, Field(pattern=r"^(white|black|#[0-9a-fA-F]{6})$")] = Field(
        "white", description="behind transparent parts: white, as viewers show them, black or #RRGGBB"
    )
    max_pixels: Annotated[int, Field(ge=1, le=178_956_970)] = Field(
        89_478_485, description="pixels of an image; a larger one counts as unreadable. Pillow's limit, up to twice it"
    )
    max_unreadable: int = Field(100, ge=0, description="unreadable images to skip before the run stops")


class View(Section):
    """Probabilities of one view's random operations."""

    flip: Probability = Field(0.5, description="probability of a mirror image")
    vertical_flip: Probability = Field(0.0, description="probability of top and bottom changing places")
    turn: Probability = Field(
        0.0, description="probability of a turn by 0, 90, 180 or 270 degrees, each equally likely"
    )
    jitter: Probability = Field(0.8, description="probability of the color jitter")
    grayscale: Probability = Field(0.2, description="probability of losing the colors")
    blur: Probability = Field(1.0, description="probability; view a 1.0, view b 0.1 in the authors' code")
    solarize: Probability = Field(0.0, description="probability; view a 0.0, view b 0.2 in the authors' code")
    channel_drop: Probability = Field(0.0, description="probability that one channel is lost: its mean everywhere")


class Local(Section):
    """Small crops of each image beside the two views, with the probabilities of view b (multi-crop)."""

    count: Annotated[int, Field(ge=0, le=64)] = Field(0, description="local views for each pair of views")
    size: Side = Field(96, description="height and width of a local view, pixels")
    area: tuple[Positive, Positive] = Field(
        (0.05, 0.14), description="range of its share of the image's area; SwAV's, with [0.14, 1] for augment.area"
    )

    @model_validator(mode="after")
    def _area(self) -> Self:
        if not self.area[0] <= self.area[1] <= 1.0:
            raise ValueError(f"area: received {list(self.area)}, expected a range [low, high], at most 1")
        return self


class Augment(Section):
    """Sizes and strengths shared by both views, and the two views' probabilities."""

    size: Side = Field(224, description="height and width of a view, pixels")
    test_size: Side | None = Field(
        None, description="height and width in monitors and evaluation; none: size. Crops enlarge what they show"
    )
    area: tuple[Positive, Positive] = Field((0.08, 1.0), description="range of the crop's share of the image's area")
    aspect: tuple[Positive, Positive] = Field((0.75, 4 / 3), description="range of the crop's width / height")
    window: Side | None = Field(
        None,
        description="side of the square that all views of an image are cut from, pixels of the image; none: the whole "
        "image. For many small things in a large image; not in the authors' code",
    )
    rotation: Annotated[float, Field(ge=0.0, le=180.0)] = Field(
        0.0, description="angle is drawn from [-r, r] degrees; not in the authors' code"
    )
    slant: NonNegative = Field(0.0, description="columns by row, drawn from [-s, s]; not in the authors' code")
    shift: Probability = Field(0.0, description="share of the size, drawn from [-s, s]; not in the authors' code")
    border: Literal["black", "reflect"] = Field(
        "black", description="what rotation, slant and shift bring in from outside: black or the mirror image"
    )
    gain: Probability = Field(0.0, description="factor of each channel, drawn from [1 - g, 1 + g]")
    offset: Probability = Field(0.0, description="added to each channel, drawn from [-o, o]; images in [0, 1]")
    brightness: NonNegative = Field(0.4, description="factor is drawn from [max(0, 1 - b), 1 + b]")
    contrast: NonNegative = Field(0.4, description="like brightness")
    saturation: NonNegative = Field(0.2, description="like brightness")
    hue: Annotated[float, Field(ge=0.0, le=0.5)] = Field(0.1, description="shift is drawn from [-h, h] turns")
    blur_sigma: tuple[Positive, Positive] = Field((0.1, 2.0), description="range of sigma, pixels of the view")
    solarize_threshold: Probability = Field(128 / 255, description="values at or above are inverted; images in [0, 1]")
    mean: tuple[float, ...] = Field((0.485, 0.456, 0.406), description="per channel; one value serves all channels")
    std: tuple[Positive, ...] = Field((0.229, 0.224, 0.225), description="per channel; one value serves all channels")
    view_a: View = View()
    view_b: View = View(blur=0.1, solarize=0.2)
    local: Local = Local()

    @property
    def evaluated_size(self) -> int:
        """Height and width of an image in monitors and evaluation, pixels."""
        return self.size if self.test_size is None else self.test_size

    @property
    def image_sizes(self) -> dict[str, int]:
        """Height and width of the images that the encoder sees, pixels, by the setting that they follow from."""
        local = {"augment.local.size": self.local.size} if self.local.count else {}
        return {"augment.size": self.size, "augment.test_size": self.evaluated_size, **local}

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        for name in ("area", "aspect", "blur_sigma"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: received [{low}, {high}], expected a range [low, high]")
        if self.area[1] > 1.0:
            raise ValueError(f"area: received {list(self.area)}, expected shares of the image, at most 1")
        if len(self.mean) != len(self.std):
            raise ValueError(
                f"mean: received {len(self.mean)} values and {len(self.std)} of std, expected the same number of both"
            )
        return self


class Model(Section):
    """Encoder and projector."""

    encoder: str = Field(
        "resnet50",
        description="a name of the table of encoders (resnet50, resnet18_w0p5, keras:MobileNetV3Small, vit_s16, ...), "
        '"package.module:name" or "file.py:name"',
    )
    stem: Literal["auto", "imagenet", "small", "small_padded", "half"] = Field(
        "auto",
        description="of a ResNet; half: small at stride 2; small_padded: small behind two zeros on every side, as in "
        "solo-learn; auto: small below 64 pixels, else imagenet",
    )
    zero_residual: bool = Field(
        True, description="residual branches of a ResNet start at zero; false: as torchvision's do by default"
    )
    projector: tuple[Width, ...] = Field((8192, 8192, 8192), min_length=1, description="widths of the linear layers")
    projector_bias: bool = Field(False, description="biases in the projector's linear layers, and in a predictor's")
    projector_normalization: bool = Field(
        True, description="normalization before each ReLU of the projector; the paper's table 5 has it without"
    )
    init: str | None = Field(
        None,
        description="weights to start from: a finished run, a .keras, .pth, .pt or .safetensors file, or keras:NAME; "
        "none: random weights",
    )


class LossSection(Section):
    """The loss by name. Its other keys are those of the loss that the name leads to, which checks them."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    name: str = Field(
        "barlow_twins", description='a name of the table of losses, "package.module:name" or "file.py:name"'
    )

    @property
    def settings(self) -> dict[str, Any]:
        """Keys beside the name, as they were given; `barlowtf.losses.settle` checks and completes them."""
        return dict(self.__pydantic_extra__ or {})


class Train(Section):
    """Length, batch, precision and reproducibility."""

    epochs: Count = Field(1000, description="passes over the data")
    batch_size: Annotated[int, Field(ge=2)] = Field(2048, description="global batch N, images per step")
    micro_batch: Count | None = Field(
        None, description="images that go through the encoder at a time; none: the whole batch"
    )
    pairs: Annotated[int, Field(ge=1, le=16)] = Field(
        1, description="pairs of views of each image; the loss is the mean over all pairs of these views"
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(0, description="of weights, order and augmentations")
    precision: Literal["float32", "mixed_bfloat16"] = Field(
        "float32", description="float32 or mixed_bfloat16; loss and statistics are float32 in both"
    )
    deterministic: bool = Field(False, description="deterministic kernels; on a GPU slower and without XLA")
    xla: Literal["auto", "on", "off"] = Field("auto", description="compile the step; auto: on one GPU")
    steps_per_call: Count | None = Field(
        None, description="steps in one call of the compiled graph, on one device or a TPU; none: 1, on a TPU 16"
    )
    freeze_encoder_epochs: Annotated[int, Field(ge=0)] = Field(
        0, description="first epochs in which the projector alone learns, on an encoder that stays as it started"
    )

    @model_validator(mode="after")
    def _whole_micro_batches(self) -> Self:
        if self.micro_batch is not None and self.batch_size % self.micro_batch:
            raise ValueError(
                f"micro_batch: received {self.micro_batch}, expected a divisor of batch_size = {self.batch_size}"
            )
        if self.micro_batch is not None and self.pairs > 1:
            raise ValueError(f"pairs: received {self.pairs}, expected 1 where micro_batch is set")
        return self


class Parent(Section):
    """The run that this one goes on from, written by `barlowtf pretrain --extend`. A new run has no such section."""

    run: str = Field(description="its run folder")
    updates: Annotated[int, Field(ge=0)] = Field(
        0, description="optimizer steps taken before this run's first; its schedule begins there"
    )
    frozen_updates: Annotated[int, Field(ge=0)] = Field(0, description="how many of them left the encoder as it was")
    epochs: Annotated[int, Field(ge=0)] = Field(
        0, description="epochs begun before this run's first; order and draws go on from there"
    )


class Recipe(Section):
    """Every setting of a pre-training run."""

    data: Data = Data()
    augment: Augment = Augment()
    model: Model = Model()
    loss: LossSection = LossSection()
    optimizer: Optimizer = LARS()
    train: Train = Train()
    checkpoint: Checkpoint = Checkpoint()
    monitor: Monitor = Monitor()
    parent: Parent | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if len(self.augment.mean) not in (1, self.data.channels):
            raise ValueError(
                f"augment.mean: received {len(self.augment.mean)} values, "
                f"expected 1 or data.channels = {self.data.channels}, and as many of augment.std"
            )
        views = {"view_a": self.augment.view_a, "view_b": self.augment.view_b}
        for name, view in views.items():
            if view.channel_drop > 0 and self.data.channels == 1:
                raise ValueError(
                    f"augment.{name}.channel_drop: received {view.channel_drop:g}, expected 0 where data.channels is 1"
                )
        if self.augment.local.count and self.train.micro_batch is not None:
            raise ValueError(
                f"train.micro_batch: received {self.train.micro_batch}, expected none where augment.local.count is "
                f"{self.augment.local.count}"
            )
        if self.checkpoint.keep_best is not None:
            setting, value = self.monitor.interval_of(self.checkpoint.keep_best)
            if value is None:
                raise ValueError(
                    f"checkpoint.keep_best: received {self.checkpoint.keep_best!r}, expected a measure that is taken; "
                    f"set {setting}"
                )
        if self.optimizer.warmup_epochs >= self.train.epochs:
            raise ValueError(
                f"optimizer.warmup_epochs: received {self.optimizer.warmup_epochs:g}, "
                f"expected less than train.epochs = {self.train.epochs}; leave it out: "
                "--set optimizer.warmup_epochs=0"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_missing_parent(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = dump(self)
        return {key: value for key, value in values.items() if key != "parent" or value is not None}

    @model_validator(mode="after")
    def _start(self) -> Self:
        frozen = self.train.freeze_encoder_epochs
        if self.model.init is not None and self.parent is not None:
            raise ValueError(
                f"model.init: received {self.model.init!r}, expected none where parent.run is {self.parent.run!r}, "
                "whose weights the run takes over"
            )
        if frozen and self.model.init is None and self.parent is None:
            raise ValueError(
                f"train.freeze_encoder_epochs: received {frozen}, expected 0 where the encoder starts from random "
                "weights; set model.init"
            )
        return self
