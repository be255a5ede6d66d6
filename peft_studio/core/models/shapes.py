"""The layers of a base model by its config.json: every linear layer with its width, and what is not linear, in numbers.

Counts of parameters, sizes of adapters, bytes of quantised weights and FLOPs all follow from this list. Layouts are those of
transformers 5.23, each checked against the real model in tests/unit/core/models/test_shapes.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear layer, by the name that peft's ``target_modules`` knows. ``adaptable``: "all-linear" puts LoRA on it."""

    name: str
    inputs: int
    outputs: int
    bias: bool = False
    adaptable: bool = True

    @property
    def parameters(self) -> int:
        """Weight and bias."""
        return self.inputs * self.outputs + (self.outputs if self.bias else 0)


@dataclass(frozen=True, slots=True)
class Experts:
    """A layer's experts, whose weights transformers keeps in fused tensors that bitsandbytes does not touch.

    ``adaptable``: peft puts LoRA on them and on the router when it is asked for all linear layers.
    """

    count: int
    active: int  # a token goes through this many
    width: int  # intermediate size of one
    adaptable: bool = False

    def parameters(self, hidden: int) -> int:
        """Gate, up and down of every expert, and the router."""
        return self.count * 3 * hidden * self.width + self.count * hidden

    def adapter_parameters(self, hidden: int, rank: int) -> int:
        """LoRA on every expert; gate and up are one matrix to peft, with twice the rank."""
        gate_up, down = 2 * rank * (hidden + 2 * self.width), rank * (self.width + hidden)
        return self.count * (gate_up + down) + rank * (hidden + self.count)


@dataclass(frozen=True, slots=True)
class ModelShapes:
    """One decoder layer's linear layers, how often it comes, and the ends of the model.

    ``known`` is False for an architecture that is not written down here: then the layers are Llama's, as a first guess.
    """

    family: str
    known: bool
    layers: int
    hidden: int
    vocab: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    gated: bool
    linears: tuple[Linear, ...]
    norm_parameters: int  # of one layer
    end_parameters: int  # last norm, learned positions
    tied: bool
    head_bias: bool = False
    experts: Experts | None = None
    sparse_layers: int = 0  # layers with experts

    @property
    def layer_linear_parameters(self) -> int:
        """Parameters of one layer's linear layers, experts left out."""
        return sum(linear.parameters for linear in self.linears)

    @property
    def expert_parameters(self) -> int:
        """Parameters of all experts and routers."""
        return self.sparse_layers * self.experts.parameters(self.hidden) if self.experts else 0

    @property
    def embedding_parameters(self) -> int:
        """Input embedding and, where it is not the same tensor, the output layer."""
        ends = self.vocab * self.hidden * (1 if self.tied else 2)
        return ends + (self.vocab if self.head_bias else 0)

    @property
    def parameters(self) -> int:
        """All parameters, each once."""
        per_layer = self.layer_linear_parameters + self.norm_parameters
        return self.embedding_parameters + self.layers * per_layer + self.expert_parameters + self.end_parameters

    def adapter_parameters(self, rank: int, modules: str | tuple[str, ...] = "all-linear") -> int:
        """Parameters of A (r, inputs) and B (outputs, r) on every target."""
        dense = self.layers * sum(rank * (one.inputs + one.outputs) for one in self.targets(modules))
        if not (self.experts and self.experts.adaptable and modules == "all-linear"):
            return dense
        return dense + self.sparse_layers * self.experts.adapter_parameters(self.hidden, rank)

    def targets(self, modules: str | tuple[str, ...]) -> tuple[Linear, ...]:
        """The linear layers of one decoder layer that an adapter is put on."""
        if modules == "all-linear":
            return tuple(linear for linear in self.linears if linear.adaptable)
        wanted = (modules,) if isinstance(modules, str) else modules
        return tuple(linear for linear in self.linears if linear.name in wanted)


TIED_BY_DEFAULT = {"gemma", "gemma2", "gemma3_text", "smollm3", "gpt2", "opt"}  # not written into config.json then
HEAD_DIM = {"gemma": 256, "gemma2": 256, "gemma3_text": 256, "qwen3": 128}
_LLAMA_LIKE = {
    "llama", "mistral", "smollm3", "gemma", "gemma2", "gemma3_text", "qwen2", "qwen3", "mixtral", "qwen2_moe", "qwen3_moe",
}  # fmt: skip
_QKV_BIAS = {"qwen2", "qwen2_moe"}
_HEAD_NORMS = {"gemma3_text", "qwen3", "qwen3_moe"}
ADAPTED_EXPERTS = {"mixtral", "qwen3_moe"}  # peft 0.21
_FOUR_NORMS = {"gemma2", "gemma3_text"}
_PLAIN = {"phi", "gpt2", "gpt_neox", "opt"}  # LayerNorm with bias, biased layers, no gate
FAMILIES = frozenset({*_LLAMA_LIKE, *_PLAIN, "phi3"})


def build_model_shapes(config: Mapping[str, Any]) -> ModelShapes | None:
    """The shapes that a parsed config.json gives; None where it does not even name its sizes."""
    text = config.get("text_config")
    shape: Mapping[str, Any] = text if isinstance(text, Mapping) else config
    family = str(shape.get("model_type") or config.get("model_type") or "")
    hidden = whole(shape, "hidden_size", "n_embd")
    layers = whole(shape, "num_hidden_layers", "n_layer")
    heads = whole(shape, "num_attention_heads", "n_head")
    vocab = whole(shape, "vocab_size")
    if not (hidden and layers and heads and vocab):
        return None
    width = whole(shape, "intermediate_size", "n_inner", "ffn_dim") or (4 * hidden if family in _PLAIN else None)
    if not width:
        return None
    tied = bool(config.get("tie_word_embeddings", shape.get("tie_word_embeddings", family in TIED_BY_DEFAULT)))
    base = ModelShapes(
        family=family, known=family in FAMILIES, layers=layers, hidden=hidden, vocab=vocab, heads=heads,
        kv_heads=whole(shape, "num_key_value_heads") or heads,
        head_dim=whole(shape, "head_dim") or HEAD_DIM.get(family) or hidden // heads,
        intermediate=width, gated=family not in _PLAIN, linears=(), norm_parameters=0, end_parameters=0, tied=tied,
    )  # fmt: skip
    return _plain(base, shape) if family in _PLAIN else _llama_like(base, shape)


def _llama_like(base: ModelShapes, config: Mapping[str, Any]) -> ModelShapes:
    q, kv = base.heads * base.head_dim, base.kv_heads * base.head_dim
    attention_bias = bool(config.get("attention_bias")) and base.family not in _QKV_BIAS
    qkv_bias = attention_bias or base.family in _QKV_BIAS
    norms = (4 if base.family in _FOUR_NORMS else 2) * base.hidden
    norms += 2 * base.head_dim if base.family in _HEAD_NORMS else 0
    if base.family == "phi3":
        linears = (
            Linear("qkv_proj", base.hidden, q + 2 * kv), Linear("o_proj", q, base.hidden),
            Linear("gate_up_proj", base.hidden, 2 * base.intermediate), Linear("down_proj", base.intermediate, base.hidden),
        )  # fmt: skip
        return replace(base, linears=linears, norm_parameters=norms, end_parameters=base.hidden)
    attention = (
        Linear("q_proj", base.hidden, q, qkv_bias), Linear("k_proj", base.hidden, kv, qkv_bias),
        Linear("v_proj", base.hidden, kv, qkv_bias), Linear("o_proj", q, base.hidden, attention_bias),
    )  # fmt: skip
    found = replace(base, norm_parameters=norms, end_parameters=base.hidden)
    if experts := _experts(base.family, config):
        shared = tuple(_shared_expert(base.hidden, whole(config, "shared_expert_intermediate_size")))
        mixed = (
            bool(config.get("mlp_only_layers")) or config.get("decoder_sparse_step", 1) != 1
        )  # some layers are dense
        known = base.known and not mixed
        return replace(found, known=known, linears=attention + shared, experts=experts, sparse_layers=base.layers)
    return replace(found, linears=attention + tuple(_mlp(base, bias=bool(config.get("mlp_bias")))))


def _mlp(base: ModelShapes, *, bias: bool) -> Iterator[Linear]:
    yield Linear("gate_proj", base.hidden, base.intermediate, bias)
    yield Linear("up_proj", base.hidden, base.intermediate, bias)
    yield Linear("down_proj", base.intermediate, base.hidden, bias)


def _experts(family: str, config: Mapping[str, Any]) -> Experts | None:
    count = whole(config, "num_local_experts", "num_experts")
    width = whole(config, "moe_intermediate_size", "intermediate_size")
    active = whole(config, "num_experts_per_tok") or 1
    return Experts(count, active, width, family in ADAPTED_EXPERTS) if count and width else None


def _shared_expert(hidden: int, width: int | None) -> Iterator[Linear]:
    """Qwen2-MoE's, through which every token goes."""
    if width:
        yield Linear("gate_proj", hidden, width)
        yield Linear("up_proj", hidden, width)
        yield Linear("down_proj", width, hidden)
        yield Linear("shared_expert_gate", hidden, 1)


def _plain(base: ModelShapes, config: Mapping[str, Any]) -> ModelShapes:
    """GPT-2, GPT-NeoX, OPT and Phi: two biased layers in the MLP, LayerNorms with bias."""
    h, f, q, kv = base.hidden, base.intermediate, base.heads * base.head_dim, base.kv_heads * base.head_dim
    linears: tuple[tuple[str, int, int], ...]
    norms, ends = 2 * 2 * h, 2 * h
    if base.family == "gpt2":
        linears = ("c_attn", h, 3 * h), ("c_proj", h, h), ("c_fc", h, f), ("c_proj", f, h)
        ends += (whole(config, "n_positions", "max_position_embeddings") or 0) * h
    elif base.family == "gpt_neox":
        linears = ("query_key_value", h, 3 * h), ("dense", h, h), ("dense_h_to_4h", h, f), ("dense_4h_to_h", f, h)
    elif base.family == "opt":
        attention = (("q_proj", h, h), ("k_proj", h, h), ("v_proj", h, h), ("out_proj", h, h))
        linears = (*attention, ("fc1", h, f), ("fc2", f, h))
        ends += ((whole(config, "max_position_embeddings") or 0) + 2) * h  # OPT's positions start at 2
    else:
        linears = ("q_proj", h, q), ("k_proj", h, kv), ("v_proj", h, kv), ("dense", q, h), ("fc1", h, f), ("fc2", f, h)
        norms = 2 * h  # attention and MLP read the same norm
    return replace(
        base, linears=tuple(Linear(name, i, o, bias=True) for name, i, o in linears), norm_parameters=norms,
        end_parameters=ends, head_bias=base.family == "phi",
    )  # fmt: skip


def whole(config: Mapping[str, Any], *names: str) -> int | None:
    """The first of these fields that is a positive whole number."""
    for name in names:
        value = config.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None
