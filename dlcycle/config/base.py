"""What every section of the project file is made of."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Names = Annotated[tuple[str, ...], Field(strict=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Perturbation = Literal["typos", "case", "white_space", "dropped_words"]


class Section(BaseModel):
    """Base of every section: frozen, typed strictly, unknown keys refused."""

    # The flows read a project on each command, also on `show`: with deferred building and defaults given as data,
    # pydantic compiles the whole schema once instead of once a section, which halves the time.
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True, serialize_by_alias=True
    )
