"""The eight orientations of EXIF: how the rows and columns of a stored image lie when a viewer shows it.

A camera that is held upright writes its rows as the sensor has them, and the orientation beside them, a number of 1 to
8 (EXIF 2.32, tag 0x0112). Each is at most one transposition, then at most two mirrorings.
"""

import numpy as np

UPRIGHT = 1
_TRANSPOSED = (5, 6, 7, 8)
_ROWS_REVERSED = (3, 4, 7, 8)
_COLUMNS_REVERSED = (2, 3, 6, 7)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Returns an image as a viewer shows it, a view of the same memory.

    Args:
        pixels: [H, W, C] as stored.
        orientation: EXIF's number; outside 1 to 8 it means nothing, and the image stays as it is.

    Returns:
        [H, W, C], or [W, H, C] where the orientation turns the image by a quarter.

    Source: EXIF 2.32, table of tag 0x0112.
    """
    if orientation in _TRANSPOSED:
        pixels = pixels.swapaxes(0, 1)
    if orientation in _ROWS_REVERSED:
        pixels = pixels[::-1]
    if orientation in _COLUMNS_REVERSED:
        pixels = pixels[:, ::-1]
    return pixels
