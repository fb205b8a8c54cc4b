"""Random crops on the host; small movements, flip, color, blur, solarize and normalization batched on the device."""

from barlowtf.augment.affine import affine
from barlowtf.augment.blur import gaussian_blur
from barlowtf.augment.color import adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation, grayscale
from barlowtf.augment.crop import CROP_DRAWS, crop_and_resize, draw_boxes, random_resized_crop
from barlowtf.augment.flip import flip
from barlowtf.augment.normalize import normalize
from barlowtf.augment.seeds import CROP_A, CROP_B, VIEW_A, VIEW_B, example_seeds, uniforms
from barlowtf.augment.solarize import solarize
from barlowtf.augment.two_views import TwoViews

__all__ = [
    "CROP_A",
    "CROP_B",
    "CROP_DRAWS",
    "VIEW_A",
    "VIEW_B",
    "TwoViews",
    "adjust_brightness",
    "adjust_contrast",
    "adjust_hue",
    "adjust_saturation",
    "affine",
    "crop_and_resize",
    "draw_boxes",
    "example_seeds",
    "flip",
    "gaussian_blur",
    "grayscale",
    "normalize",
    "random_resized_crop",
    "solarize",
    "uniforms",
]
