"""Arrays in `.npy` files: one careful reader for files that may be damaged or made up."""

from pathlib import Path

import numpy as np


def map_array(file: Path) -> np.ndarray:
    """Returns the array of a file, memory-mapped: what the header declares and the file lacks takes no memory.

    Args:
        file: The file; not an archive of several arrays (.npz).

    Raises:
        OSError: It cannot be opened.
        ValueError: It is not such a file, is cut, or its header is damaged. One line that does not name the file.
    """
    try:
        return np.lib.format.open_memmap(file, mode="r")
    except OSError:
        raise
    except ValueError as error:
        raise ValueError(str(error).strip().partition("\n")[0][:200].rstrip(".")) from error
    # The header is Python's text of a dictionary: a damaged one makes its parser, or the memory map, raise anything.
    except Exception as error:
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise ValueError(f"its header is damaged ({type(error).__name__}: {reason})") from error
