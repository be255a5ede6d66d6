"""The run spec: everything that decides what a run does, frozen and versioned.

Field names follow peft and transformers, so that a value found in a tutorial means the same here. What a field defaults to, and
why, is decided in :mod:`peft_studio.core.defaults`; this module only says what is legal.
"""

from __future__ import annotations

from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_serializer, field_validator, model_validator

from peft_studio.core.errors import SpecError, nearest
from peft_studio.core.spec.codec import SPEC_VERSION, read_spec_fields
from peft_studio.core.spec.data_ref import DataRef

Method = Literal["lora", "qlora", "dora", "pissa", "rslora"]
Quantization = Literal["int8", "int4", "nf4"]
Loop = Literal["auto", "fast", "reference"]
Sharding = Literal["auto", "ddp", "fsdp"]
METHODS: tuple[str, ...] = get_args(Method)
QUANTIZATIONS: tuple[str, ...] = get_args(Quantization)
LOOPS: tuple[str, ...] = get_args(Loop)


class Basis(BaseModel):
    """The facts that defaults were derived from; kept in the spec so that ``explain()`` needs nothing else."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parameters: int | None = Field(default=None, description="Parameters of the base model.")
    family: str | None = Field(default=None, description="model_type of the base model's config.json.")
    context_length: int | None = Field(default=None, description="Longest sequence the base model accepts, in tokens.")
    train_rows: int | None = Field(default=None, description="Rows left for training after the split.")
    p95_tokens: int | None = Field(default=None, description="95th percentile of row length, in tokens.")
    max_tokens: int | None = Field(default=None, description="Longest row, in tokens.")
    eval_rows: int | None = Field(default=None, description="Rows held out for evaluation.")
    row_tokens: tuple[float, ...] = Field(
        default=(), description="Mean row length, before any cut, of each sixteenth of the rows, shortest first."
    )
    learnt_share: float | None = Field(default=None, description="Share of the tokens that the loss is on.")
    shared_tokens: int = Field(default=0, description="Tokens that all rows begin with.")
    conversational: bool = Field(default=False, description="Rows have turns, so the loss can be on the answers alone.")
    device: str = Field(default="cpu", description="Kind of device: cpu, cuda or mps.")
    bf16: bool = Field(default=False, description="The device multiplies bfloat16 in hardware.")
    free_bytes: int | None = Field(
        default=None, description="Memory of the device that a run could take, in whole GiB."
    )
    hidden_size: int | None = Field(default=None, description="Width of the base model's layers.")


class RemoteCode(BaseModel):
    """Permission to run a model repository's own Python, at one commit and no other."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    repo: str
    commit: str = Field(pattern=r"^[0-9a-f]{40}$", description="Full commit hash.")


class RunSpec(BaseModel):
    """A request for one run. Frozen: ``replace()`` makes a new one."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    version: int = Field(default=SPEC_VERSION, ge=SPEC_VERSION, le=SPEC_VERSION)
    name: str = Field(default="", max_length=200)
    model: str = Field(description="Hub id, local folder, or embedded name such as smollm2-135m.")
    data: DataRef
    method: Method = Field(default="lora", description="How the adapter is built.")
    quantization: Quantization | None = None

    rank: int = Field(default=16, ge=1, le=1024)
    alpha: float = Field(default=32, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: str | tuple[str, ...] = "all-linear"

    learning_rate: float = Field(default=2e-4, gt=0, lt=1)
    lr_scheduler: Literal["cosine", "linear", "constant", "constant_with_warmup"] = "cosine"
    warmup_ratio: float = Field(default=0.05, ge=0, lt=1)
    weight_decay: float = Field(default=0.01, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    optimizer: Literal["adamw_torch", "adamw_torch_fused", "adamw_8bit", "paged_adamw_8bit"] = "adamw_torch"

    batch_size: int = Field(default=4, ge=1, description="Most rows that a device sees at once.")
    gradient_accumulation_steps: int = Field(default=4, ge=1)
    epochs: float = Field(default=3, gt=0)
    max_steps: int | None = Field(default=None, ge=1, description="Optimizer steps; when given, epochs is ignored.")
    max_length: int = Field(default=1024, ge=8, description="Tokens; longer rows are cut at the end.")
    packing: bool = Field(
        default=False, description="Fill each micro-batch to batch_size × max_length tokens with whole rows."
    )
    assistant_only_loss: bool = True
    gradient_checkpointing: bool = False
    precision: Literal["bf16", "fp16", "fp32"] = "fp32"
    loop: Loop = "auto"
    probe: bool = Field(
        default=True, description="Try the longest micro-batch and an evaluation batch before a run starts."
    )
    processes: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="Training processes, one a device. None: decided at launch, from the machine.",
    )
    sharding: Sharding = Field(
        default="auto",
        description="ddp: each process holds the whole model. fsdp: each holds a share. auto: as it fits.",
    )

    eval_steps: int | None = Field(
        default=None, ge=1, description="Evaluate every so many steps; None: at the end only."
    )
    save_steps: int = Field(default=50, ge=1)
    keep_checkpoints: int = Field(default=3, ge=1, description="Newest checkpoints to keep on disk.")
    logging_steps: int = Field(default=1, ge=1)
    sample_prompts: tuple[str, ...] = Field(default=(), description="Prompts answered by the model as it trains.")
    sample_steps: int | None = Field(
        default=None, ge=1, description="Answer sample_prompts every so many steps; None: never."
    )
    seed: int = 0

    remote_code: RemoteCode | None = Field(
        default=None, description="A model repository's own Python runs only if named with its commit."
    )
    parent_run: str | None = Field(default=None, description="The run this one was started from.")
    tags: tuple[str, ...] = ()
    chosen: frozenset[str] = Field(
        default=frozenset(), description="Fields set by a person; the others may be derived again."
    )
    basis: Basis = Basis()

    @field_serializer("chosen", when_used="json")
    def _in_order(self, chosen: frozenset[str]) -> list[str]:
        return sorted(chosen)  # a set has another order in every process, and a file should not

    @field_validator("remote_code", mode="before")
    @classmethod
    def _no_blanket_trust(cls, value: Any) -> Any:
        if value is True:
            raise ValueError(
                "name the repository and the commit that you have read: {'repo': 'org/name', 'commit': '<40 hex digits>'}"
            )
        return value

    @model_validator(mode="after")
    def _consistent(self) -> RunSpec:
        if self.method == "qlora" and self.quantization is None:
            raise ValueError("method 'qlora' needs a quantization: nf4 (recommended), int4 or int8")
        if self.method == "pissa" and self.dropout:
            raise ValueError("PiSSA starts from the weights' own principal part, so dropout must be 0")
        return self

    @property
    def scale(self) -> float:
        """What the adapter's output is multiplied with: α/r, or α/√r for rsLoRA (arXiv 2312.03732)."""
        return self.alpha / (self.rank**0.5 if self.method == "rslora" else self.rank)

    @property
    def planned_steps(self) -> int | None:
        """Optimizer steps of the whole run, None while the number of rows is unknown. With packing it is the most there can be."""
        rows = self.basis.train_rows
        if self.max_steps or not rows:
            return self.max_steps
        return max(1, int(-(-rows // self.effective_batch) * self.epochs))

    @property
    def effective_batch(self) -> int:
        """Rows that one optimizer step sees, however many processes share it."""
        return self.batch_size * self.gradient_accumulation_steps

    def to_json(self) -> str:
        """The spec as indented JSON, fields in the order of this class."""
        return self.model_dump_json(indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a spec written by :meth:`to_json`, by this version or an older one.

        Raises:
            SpecError: The text is not JSON, is of a newer version, or has a field that is unknown or out of range.
        """
        return cls.build(**read_spec_fields(text))

    @classmethod
    def build(cls, **fields: Any) -> Self:
        """Make a spec, turning pydantic's complaints into one :class:`SpecError` that names field and fix."""
        for name in fields:
            if name not in cls.model_fields:
                raise SpecError(
                    f"A run spec has no field {name!r}.", hint=nearest(name, cls.model_fields), fields=(name,)
                )
        try:
            return cls(**fields)
        except ValidationError as exc:
            raise _spec_error(exc) from exc


def _spec_error(exc: ValidationError) -> SpecError:
    problems = exc.errors()
    lines, fields = [], []
    by_field: dict[str, str] = {}
    for problem in problems:
        field = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        fields.append(field.split(".")[0])
        by_field.setdefault(fields[-1], message)
        given = f" (given {problem['input']!r})" if field and not isinstance(problem["input"], dict) else ""
        lines.append(f"{field}: {message}{given}" if field else message)
    hint = "Change the field named here and try again."
    literal = next((p for p in problems if p["type"] == "literal_error" and isinstance(p["input"], str)), None)
    if literal:
        hint = nearest(
            literal["input"], [c.strip(" '") for c in literal["ctx"]["expected"].replace(" or ", ",").split(",")]
        )
    return SpecError(
        "The run spec is not valid: " + "; ".join(lines), hint=hint, fields=tuple(f for f in fields if f),
        by_field=by_field,
    )  # fmt: skip
