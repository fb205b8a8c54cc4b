"""Rules for channels, normalization, crops, and what may happen to a view without making another image of it."""

from typing import Any

from barlowtf.choosing.situation import Choice, Situation

# A window shows the most frequent thing about twice: of blood cells of 102 pixels the autocorrelation reaches 0 at 80.
_WINDOW_PER_THING = 2.5
# A thing is small where the window is at most this share of the short side.
_LARGEST_WINDOW_SHARE = 0.6
_SMALLEST_WINDOW = 32
# Height of a view for which the authors' blur was chosen, pixels.
_AUTHORS_SIZE = 224


def choose_channels(situation: Situation) -> Choice:
    """Returns the number of channels, their bits and their normalization."""
    facts = situation.facts
    channels = 1 if facts.is_gray and facts.channels in (1, 3) else facts.channels
    mean, std = facts.mean, facts.std
    if channels == 1:
        mean, std = mean[:1], std[:1]
    settings: dict[str, Any] = {"data.channels": channels, "augment.mean": mean, "augment.std": std}
    if facts.bits == 16:
        # Mean and deviation are those of pixels over this white.
        settings |= {"data.depth": 16, "data.white": facts.white}
    what = {1: "all images are gray", 3: "the images have colors"}.get(channels, f"the images have {channels} channels")
    numbers = ", ".join(f"{value:.2f}" for value in mean)
    bits = f" of 16 bits, white is {facts.white}" if facts.bits == 16 else ""
    return Choice(settings, f"{channels}{bits}, mean {numbers}", f"{what}; mean and deviation are those of the sample")


def choose_window(situation: Situation) -> Choice:
    """Returns the window from which both views of an image are cut."""
    look = situation.look
    if look.has_upright:
        return Choice(
            {"augment.window": None},
            "the whole image",
            "they have an upright: scenes or single things",
        )
    if look.thing is None or situation.short_side * look.thing * _WINDOW_PER_THING < _SMALLEST_WINDOW:
        return Choice({"augment.window": None}, "the whole image", "no size of the things in them was found")
    side = round(situation.short_side * look.thing * _WINDOW_PER_THING)
    if side > _LARGEST_WINDOW_SHARE * situation.short_side:
        return Choice({"augment.window": None}, "the whole image", "the things in them are large")
    side = side // 8 * 8
    reason = (
        f"many things of about {situation.short_side * look.thing / 0.8:.0f} pixels: two crops of the whole image "
        "would rarely show the same ones"
    )
    return Choice({"augment.window": side}, f"{side} pixels of the image", reason)


def choose_crops(situation: Situation) -> Choice:
    """Returns the range of the crops' area."""
    if situation.scale == "tiny":
        settings = {"augment.area": (0.85, 1.0), "augment.aspect": (0.9, 1.1)}
        return Choice(settings, "85 to 100 % of the area", "a smaller crop of a tiny image shows something else")
    if situation["augment.window"] is not None:
        return Choice({"augment.area": (0.4, 1.0)}, "40 to 100 % of the window", "the size of a thing says what it is")
    if situation.scale == "large" and situation.machine.gpus:
        return Choice({"augment.area": (0.08, 1.0)}, "8 to 100 % of the area", "as in the paper")
    return Choice(
        {"augment.area": (0.2, 1.0)},
        "20 to 100 % of the area",
        "gentler than the paper's 8 %: few epochs or small images",
    )


def choose_turns(situation: Situation) -> Choice:
    """Returns mirror images, turns and small rotations."""
    look = situation.look
    flip = 0.0 if look.sideways.broken else 0.5
    settings = {"flip": flip, "turn": 0.0, "vertical_flip": 0.0}
    if not look.has_upright:
        settings |= {"flip": 0.5, "turn": 1.0}
        text, reason = "all eight turns and mirror images", "the images have no upright"
    elif flip:
        text, reason = (
            "mirror images",
            "left and right are alike in the sample; rows and columns are not, or it is too small",
        )
    else:
        text, reason = "none", "the images have a left and a right"
    affine = (
        {"augment.rotation": 15.0, "augment.slant": 0.2, "augment.shift": 0.06} if situation.scale == "tiny" else {}
    )
    if affine:
        text += "; rotation by up to 15 degrees"
    return Choice({**_both_views(settings), **affine}, text, reason)


def choose_colors(situation: Situation) -> Choice:
    """Returns jitter, loss of color, blur and solarization."""
    size, upright = situation["augment.size"], situation.look.has_upright
    blurred, photograph = size >= 64, upright and situation.has_colors and situation.scale != "tiny"
    views = {"augment.view_a.blur": 1.0 if blurred else 0.0, "augment.view_b.blur": 0.1 if blurred else 0.0}
    views |= {"augment.view_a.solarize": 0.0, "augment.view_b.solarize": 0.2 if photograph and blurred else 0.0}
    settings = {
        **views,
        "augment.blur_sigma": (0.1, max(round(2.0 * size / _AUTHORS_SIZE, 2), 0.2)),
        **_both_views({"grayscale": 0.2 if photograph else 0.0}),
    }
    if not situation.has_colors:
        settings |= {"augment.saturation": 0.0, "augment.hue": 0.0}
        settings |= {} if situation["data.channels"] == 1 else {"augment.gain": 0.2}
        return Choice(settings, "brightness and contrast", "the images are not RGB: no color jitter")
    if not upright:
        settings |= {"augment.brightness": 0.2, "augment.contrast": 0.2, "augment.saturation": 0.1, "augment.hue": 0.05}
        return Choice(
            settings,
            "half the paper's color jitter",
            "without an upright it is not a photograph, and colors (stains) say what things are",
        )
    return Choice(settings, "the paper's color jitter", "the images are photographs")


def _both_views(settings: dict[str, float]) -> dict[str, float]:
    return {f"augment.{view}.{key}": value for view in ("view_a", "view_b") for key, value in settings.items()}
