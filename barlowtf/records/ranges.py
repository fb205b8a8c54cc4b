"""Ranges of the numbers in records: a file from elsewhere may hold any."""

from typing import Annotated

from pydantic import Field

# A number of things; what is larger does not fit into the integers of NumPy and TensorFlow.
Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
# A number of things of which there is at least one.
Size = Annotated[int, Field(ge=1, le=2**63 - 1)]
# A part of a whole; means of shares are rounded.
LARGEST_SHARE = 1 + 1e-6
Share = Annotated[float, Field(ge=0, le=LARGEST_SHARE)]
# A duration, s, or another quantity that is not negative.
Amount = Annotated[float, Field(ge=0)]
