"""What every table of settings has in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Count = Annotated[int, Field(ge=1)]
# Images in one call of an exported file, which is run with as many.
Batch = Annotated[int, Field(ge=1, le=1024)]
# Far more than anybody trains; beyond it a setting is a slip of the hand.
Width = Annotated[int, Field(ge=1, le=65_536)]
Side = Annotated[int, Field(ge=8, le=16_384)]


class Section(BaseModel):
    """One table of settings: unknown keys are errors, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
