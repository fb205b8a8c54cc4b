"""Random crops on the host; movements, flips, turns, color, blur, solarize, normalization in batches on the device."""

from barlowtf.augment.affine import affine
from barlowtf.augment.blur import gaussian_blur
from barlowtf.augment.channels import adjust_channels, drop_channel
from barlowtf.augment.color import adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation, grayscale
from barlowtf.augment.crop import CROP_DRAWS, crop_and_resize, draw_boxes, random_resized_crop
from barlowtf.augment.crops import CropPlan, crop_image, crop_images, draw_crops
from barlowtf.augment.draws import (
    ANCHORS,
    CROP_A,
    CROP_B,
    REGIONS,
    RESIZE,
    VIEW_A,
    VIEW_B,
    example_seeds,
    local_streams,
    mixing_share,
    pair_epoch,
    random_directions,
    uniforms,
)
from barlowtf.augment.flip import flip
from barlowtf.augment.normalize import normalize, unit_range
from barlowtf.augment.orientation import flip_vertically, turn
from barlowtf.augment.solarize import solarize
from barlowtf.augment.two_views import TwoViews

__all__ = [
    "ANCHORS",
    "CROP_A",
    "CROP_B",
    "CROP_DRAWS",
    "CropPlan",
    "REGIONS",
    "RESIZE",
    "VIEW_A",
    "VIEW_B",
    "TwoViews",
    "adjust_brightness",
    "adjust_channels",
    "adjust_contrast",
    "adjust_hue",
    "adjust_saturation",
    "affine",
    "crop_and_resize",
    "crop_image",
    "crop_images",
    "draw_boxes",
    "draw_crops",
    "drop_channel",
    "example_seeds",
    "flip",
    "flip_vertically",
    "gaussian_blur",
    "grayscale",
    "local_streams",
    "mixing_share",
    "normalize",
    "pair_epoch",
    "random_directions",
    "random_resized_crop",
    "solarize",
    "turn",
    "uniforms",
    "unit_range",
]
