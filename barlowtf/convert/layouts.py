"""How other projects' checkpoints hold their encoder: one entry for each, read from the code that saves it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

# What a name starts with -> what it starts with in torchvision.
Naming = tuple[tuple[str, str], ...]

# Names that are torchvision's, or whose blocks call the downsampling `shortcut`.
_TORCHVISION: Naming = ()
# nn.Sequential of torchvision's children: 2 and 3 are ReLU and max pool, which have no tensors.
_CHILDREN: Naming = (("0.", "conv1."), ("1.", "bn1."), *((f"{stage + 3}.", f"layer{stage}.") for stage in (1, 2, 3, 4)))
# The same of a ResNet that has neither of the two as a module: lightly/models/resnet.py.
_FEW_CHILDREN: Naming = (
    *(("0.", "conv1."), ("1.", "bn1.")),
    *((f"{stage + 1}.", f"layer{stage}.") for stage in (1, 2, 3, 4)),
)
_NAMINGS = (_TORCHVISION, _CHILDREN, _FEW_CHILDREN)
_SHORTCUT, _DOWNSAMPLE = ".shortcut.", ".downsample."
# What every ResNet has, whatever its depth.
_FIRST_BLOCK, _LAST_STAGE = "layer1.0.conv", "layer4.0.conv"


@dataclass(frozen=True)
class Layout:
    """Where a project's checkpoint holds the encoder that it trained.

    Attributes:
        name: The project's.
        envelopes: Keys that lead to the state dict, outermost first; () is the file itself. The first that fits counts.
        prefixes: What stands before the names of the encoder, behind `module.` and `_orig_mod.`. The first that fits
            counts.
        signs: Regular expressions, each of which matches the start of a name of the state dict, behind the same.
        beside: Keys of the file, of which it has one. (): any file.
        heads: What names behind the prefix start with that are not the encoder's, beside the classifier "fc.".
        projector: What the names of a projector start with that `barlowtf.models.make_projector` makes; None: the
            projector, if any, is another one.
        small_stem: The stem of its ResNets whose first kernel is 3x3, which tensors cannot tell.
    """

    name: str
    envelopes: tuple[tuple[str, ...], ...]
    prefixes: tuple[str, ...]
    signs: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()
    projector: str | None = None
    small_stem: str = "small"

    def prefix_in(self, names: Iterable[str]) -> str | None:
        """Returns the prefix of the encoder in a state dict of this layout, or None where it is another one.

        Args:
            names: Of its tensors, without `module.` and `_orig_mod.`.
        """
        names = list(names)
        if not all(any(re.match(sign, name) for name in names) for sign in self.signs):
            return None
        return next((prefix for prefix in self.prefixes if holds_resnet(behind(prefix, names))), None)


def behind(prefix: str, names: Iterable[str]) -> list[str]:
    """Returns the names that start with a prefix, without it."""
    return [name.removeprefix(prefix) for name in names if name.startswith(prefix)]


def holds_resnet(names: Iterable[str]) -> bool:
    """Returns whether names, without prefix, are those of a ResNet by one of the known namings."""
    names = list(names)
    return any(_is_resnet(naming, names) for naming in _NAMINGS)


def torchvision_names(names: Iterable[str]) -> dict[str, str]:
    """Returns {name: what torchvision calls it} for names without prefix; unknown names stay as they are."""
    names = list(names)
    naming = next((naming for naming in _NAMINGS if _is_resnet(naming, names)), _TORCHVISION)
    return {name: _renamed(naming, name) for name in names}


def _is_resnet(naming: Naming, names: list[str]) -> bool:
    renamed = [_renamed(naming, name) for name in names]
    return all(any(name.startswith(start) for name in renamed) for start in (_FIRST_BLOCK, _LAST_STAGE))


def _renamed(naming: Naming, name: str) -> str:
    for start, of_torchvision in naming:
        if name.startswith(start):
            name = of_torchvision + name.removeprefix(start)
            break
    return name.replace(_SHORTCUT, _DOWNSAMPLE)


# The first that fits counts: those with more signs stand before those with fewer.
LAYOUTS = (
    # Source: facebookresearch/barlowtwins main.py, BarlowTwins.__init__ and main_worker.
    Layout(
        "Barlow Twins",
        (("model",), ("state_dict",), ("model_state_dict",), ()),
        ("backbone.",),
        (r"projector\.", r"bn\."),
        projector="projector.",
    ),
    # Source: vturrisi/solo-learn solo/methods/base.py, which pads conv1 by 2 pixels for CIFAR;
    # downstream/object_detection/convert_model_to_detectron2.py for "encoder.", the name in its first versions.
    Layout(
        "solo-learn",
        (("state_dict",),),
        ("backbone.", "encoder."),
        (r"classifier\.weight$",),
        small_stem="small_padded",
    ),
    # Source: lightly-ai/lightly examples/pytorch_lightning/*.py, benchmarks/imagenet/resnet50/*.py,
    # lightly/models/modules/heads.py. Its DINO example has a teacher, which is the one that is evaluated.
    Layout(
        "Lightly",
        (("state_dict",), ()),
        ("backbone.", "teacher_backbone."),
        (r"(projection|student|teacher)_head\.layers\.",),
    ),
    # Source: facebookresearch/vissl vissl/models/trunks/resnext.py, extra_scripts/convert_vissl_to_torchvision.py;
    # vissl/models/trunks/feature_extractor.py for "base_model.".
    Layout(
        "VISSL",
        (("classy_state_dict", "base_model", "model", "trunk"), ("model_state_dict",), ()),
        ("_feature_blocks.", "base_model._feature_blocks."),
    ),
    # Source: open-mmlab/mmselfsup mmselfsup/models/algorithms/moco.py, byol.py, mocov3.py;
    # tools/model_converters/extract_backbone_weights.py, which leaves "author" beside names without prefix.
    Layout("MMSelfSup", (("state_dict",),), ("backbone.", ""), beside=("meta", "author")),
    # Source: facebookresearch/moco moco/builder.py, main_moco.py, main_lincls.py.
    Layout("MoCo", (("state_dict",),), ("encoder_q.",)),
    # Source: facebookresearch/moco-v3 moco/builder.py, main_lincls.py.
    Layout("MoCo v3", (("state_dict",),), ("base_encoder.",), (r"momentum_encoder\.",)),
    # Source: facebookresearch/simsiam simsiam/builder.py, main_lincls.py. Its projector is encoder.fc.
    Layout("SimSiam", (("state_dict",),), ("encoder.",), (r"encoder\.fc\.0\.", r"predictor\.")),
    # Source: facebookresearch/swav src/resnet50.py, main_swav.py; hubconf.py for the file without envelope.
    Layout("SwAV", (("state_dict",), ()), ("",), (r"projection_head\.",), heads=("projection_head.", "prototypes.")),
    # Source: facebookresearch/dino main_dino.py; eval_linear.py evaluates the teacher, --checkpoint_key.
    Layout("DINO", (("teacher",), ("student",)), ("backbone.",), (r"head\.",)),
    # Source: facebookresearch/vicreg main_vicreg.py. Its projector has biases but in the last layer: not barlowtf's.
    Layout("VICReg", (("model",), ()), ("backbone.",), (r"projector\.0\.bias$",)),
    # Source: pytorch/examples imagenet/main.py; best_prec1 in its first versions.
    Layout("PyTorch ImageNet example", (("state_dict",),), ("",), (r"fc\.weight$",), ("best_acc1", "best_prec1")),
    # Source: huggingface/pytorch-image-models timm/utils/checkpoint_saver.py; timm/models/_helpers.py, load_state_dict,
    # which takes the moving average first.
    Layout("timm", (("state_dict_ema",), ("state_dict",)), ("",), beside=("version", "state_dict_ema")),
    # Source: pytorch/vision torchvision/models/resnet.py; "linear." is what ResNets for CIFAR call the classifier.
    Layout("torchvision", ((), ("state_dict",), ("model_state_dict",), ("model",)), ("",), heads=("linear.",)),
)
