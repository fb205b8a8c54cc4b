"""The authors' input pipeline with PIL, written for this comparison: the calls that torchvision makes on PIL images.

Source: facebookresearch/barlowtwins main.py, classes Transform, GaussianBlur and Solarization; torchvision
transforms/functional, the PIL backend.
"""

import math
import random
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

SIZE = 224
_AREA, _ASPECT, _TRIES = (0.08, 1.0), (3 / 4, 4 / 3), 10
_MEAN = torch.tensor([0.485, 0.456, 0.406]).reshape(3, 1, 1)
_STD = torch.tensor([0.229, 0.224, 0.225]).reshape(3, 1, 1)
# Probability of blur and of solarize, view a and view b.
_VIEWS = ((1.0, 0.0), (0.1, 0.2))


def crops_only(path: Path, draws: random.Random) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns two random resized crops of a file, uint8 [224, 224, 3]: what our host does, and no more."""
    image = _open(path)
    return tuple(torch.from_numpy(np.array(random_resized_crop(image, draws))) for _ in _VIEWS)


def both_views(path: Path, draws: random.Random) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns both finished views of a file, normalized float32 [3, 224, 224]."""
    image = _open(path)
    return tuple(finished_view(image, blur, solarize, draws) for blur, solarize in _VIEWS)


def finished_view(image: Image.Image, blur: float, solarize: float, draws: random.Random) -> torch.Tensor:
    """Returns one view, normalized float32 [3, 224, 224]."""
    view = random_resized_crop(image, draws)
    if draws.random() < 0.5:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if draws.random() < 0.8:
        view = color_jitter(view, draws)
    if draws.random() < 0.2:
        gray = np.array(view.convert("L"))
        view = Image.fromarray(np.dstack([gray, gray, gray]))
    if draws.random() < blur:
        view = view.filter(ImageFilter.GaussianBlur(draws.uniform(0.1, 2.0)))
    if draws.random() < solarize:
        view = ImageOps.solarize(view)
    pixels = torch.from_numpy(np.array(view)).permute(2, 0, 1).contiguous()
    return pixels.to(torch.float32).div(255).sub_(_MEAN).div_(_STD)


def random_resized_crop(image: Image.Image, draws: random.Random) -> Image.Image:
    """Returns a random box of the image, bicubic at 224×224; after ten tries the central one."""
    width, height = image.size
    for _ in range(_TRIES):
        area = width * height * draws.uniform(*_AREA)
        aspect = math.exp(draws.uniform(math.log(_ASPECT[0]), math.log(_ASPECT[1])))
        box_width, box_height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < box_width <= width and 0 < box_height <= height:
            left, top = draws.randint(0, width - box_width), draws.randint(0, height - box_height)
            break
    else:
        box_width, box_height = min(width, round(height * _ASPECT[1])), min(height, round(width / _ASPECT[0]))
        left, top = (width - box_width) // 2, (height - box_height) // 2
    crop = image.crop((left, top, left + box_width, top + box_height))
    return crop.resize((SIZE, SIZE), Image.Resampling.BICUBIC)


def color_jitter(image: Image.Image, draws: random.Random) -> Image.Image:
    """Returns the image after brightness, contrast, saturation and hue in random order."""
    for operation in draws.sample(range(4), 4):
        if operation == 0:
            image = ImageEnhance.Brightness(image).enhance(draws.uniform(0.6, 1.4))
        elif operation == 1:
            image = ImageEnhance.Contrast(image).enhance(draws.uniform(0.6, 1.4))
        elif operation == 2:
            image = ImageEnhance.Color(image).enhance(draws.uniform(0.8, 1.2))
        else:
            image = _shift_hue(image, draws.uniform(-0.1, 0.1))
    return image


def _shift_hue(image: Image.Image, turns: float) -> Image.Image:
    hue, saturation, value = image.convert("HSV").split()
    shifted = np.array(hue) + np.uint8(int(turns * 255) % 256)  # Wraps round, as hue does.
    return Image.merge("HSV", (Image.fromarray(shifted), saturation, value)).convert("RGB")


def _open(path: Path) -> Image.Image:
    with open(path, "rb") as file:
        return Image.open(file).convert("RGB")
