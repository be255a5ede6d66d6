"""Which rows a run trains on: enough to find them again, and to notice that they changed."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class DataRef(BaseModel):
    """Points at a data set on this machine. Rows are never copied into a spec."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(description="File or folder that holds the rows; absolute.")
    origin: str = Field(description="What the user named: a path, a hub id, or 'rows given in Python'.")
    format: str = Field(
        description="Recognised format: messages, sharegpt, alpaca, prompt-completion, text, tools, preference."
    )
    columns: dict[str, str] = Field(default_factory=dict, description="Our column name → the column in the file.")
    rows: int = Field(ge=0, description="Rows in the source, before the split.")
    split: float = Field(default=0.0, ge=0.0, lt=1.0, description="Share of rows held out for evaluation.")
    seed: int = Field(default=0, description="Seed of the split.")
    left_out: tuple[int, ...] = Field(default=(), description="Row numbers the user chose to leave out.")
    sha256: str = Field(
        description="Digest of the source's bytes, so that a run notices a file that changed after launch."
    )
