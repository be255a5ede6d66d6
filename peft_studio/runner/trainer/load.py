"""Loads a prepared base model and its tokenizer into this process. No network, no pickle.

Adapters are attached by peft afterwards (``methods``, ``chat_model``); how a model got here is ``prepare``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from peft_studio.core.models import ModelFailure
from peft_studio.core.models.prepared import check_folder
from peft_studio.core.models.trust import PinnedCode

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def load_base(
    folder: Path | str,
    *,
    quantization: str | None = None,
    precision: str = "fp32",
    device: str = "cpu",
    remote_code: PinnedCode | None = None,
) -> Any:
    """Load the causal language model in ``folder``.

    Args:
        folder: A prepared folder: config.json and safetensors.
        quantization: None, ``int8`` (LLM.int8), ``int4`` (fp4) or ``nf4`` (with its constants quantised too).
        precision: dtype of weights that are not quantised and of the arithmetic: ``fp32``, ``bf16`` or ``fp16``.
        device: Where it goes: ``cpu``, ``cuda``, ``cuda:1`` …
        remote_code: Repository and commit whose Python may run; needed only for models that bring their own.

    Raises:
        ModelFailure: The folder is incomplete, torn or not trusted, or transformers does not know the architecture.
    """
    path = Path(folder)
    # The trust rules hold here too: this is the last door. What passes with an auto_map was allowed by name.
    trust = bool(check_folder(path, source=str(path), remote_code=remote_code).get("auto_map"))
    if device != "cpu":
        # cuDNN plans its attention anew for every new length of a batch: 2 to 3 s each on an H100, for no gain in the steps after it.
        torch.backends.cuda.enable_cudnn_sdp(False)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            path,
            dtype=DTYPES[precision],
            quantization_config=build_quantization(quantization, precision),
            device_map=None if device == "cpu" and quantization is None else {"": device},
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=trust,
        )
    except torch.OutOfMemoryError:
        raise  # the caller knows what else is on the device, and what to change
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as exc:
        raise _unreadable(path, exc) from exc
    if device == "cpu":
        # A map that says "cpu" makes peft believe in offloading: it would hook every layer of the first adapter.
        vars(model).pop("hf_device_map", None)
        if quantization is not None:
            _let_go_of_file(model)
            keep_as_stored(model)
    return model


def _let_go_of_file(model: Any) -> None:
    """Copy what was not quantised: as long as one tensor looks into the mapped file, all of the file counts as ours."""
    for parameter in model.parameters():
        if parameter.dtype.is_floating_point:
            parameter.data = parameter.data.clone()


def keep_as_stored(model: Any) -> None:
    """Have bitsandbytes 0.50 leave 4-bit weights as they are stored.

    On CPUs with AVX-512 BF16 it lays them out anew for the first evaluation, and back when a state is saved, but not to the bit: nf4's
    constants are rounded and fp4's end up in another order. The base would change under the adapter; and a layer laid out anew has no
    backward pass, so no gradient would go through the base after the first evaluation.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def build_quantization(quantization: str | None, precision: str) -> BitsAndBytesConfig | None:
    """The bitsandbytes settings for one of our names; works on CPU as on CUDA (bitsandbytes 0.50)."""
    if quantization is None:
        return None
    if quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type={"int4": "fp4", "nf4": "nf4"}[quantization],
        bnb_4bit_use_double_quant=quantization == "nf4",
        bnb_4bit_compute_dtype=DTYPES[precision],
    )


def load_tokenizer(folder: Path | str, *, remote_code: PinnedCode | None = None) -> Any:
    """Load the tokenizer in ``folder``; it always has a padding token (the end token where it names none).

    Raises:
        ModelFailure: It is missing, torn or of an unknown kind.
    """
    path = Path(folder)
    trust = bool(check_folder(path, source=str(path), remote_code=remote_code).get("auto_map"))
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=trust)
    except (OSError, ValueError, KeyError, ImportError, TypeError) as exc:
        raise ModelFailure(
            f"The tokenizer in {path} cannot be loaded: {_first_line(exc)}.",
            code="unsupported",
            hint="Save it again with AutoTokenizer.from_pretrained(…).save_pretrained(folder), or prepare it again.",
        ) from exc
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer


def _unreadable(path: Path, exc: Exception) -> ModelFailure:
    try:
        AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError):
        return ModelFailure(
            f"transformers does not know the architecture of {path}: {_first_line(exc)}.",
            code="unsupported",
            hint="Update transformers (pip install -U transformers), or pick a model of a known family.",
        )
    return ModelFailure(
        f"The weights in {path} cannot be loaded: {_first_line(exc)}.",
        code="incomplete",
        hint="A file may be torn or missing: delete the folder and prepare the model again.",
    )


def _first_line(exc: Exception) -> str:
    text = str(exc).strip()
    return text.splitlines()[0].rstrip(".") if text else type(exc).__name__
