"""Each method trains, and its adapter loads with plain peft on the untouched base and answers the same.

Three of them through the public API, in a process of their own; the others by the same job in this process.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peft_studio import Studio
from peft_studio.core.runs.metrics import read_metrics
from tests.trained_here import train_here

pytestmark = pytest.mark.slow

CASES = {
    "lora fast": {"method": "lora", "loop": "fast"},
    "lora reference": {"method": "lora", "loop": "reference"},
    "lora bf16": {"method": "lora", "precision": "bf16"},
    "lora on attention": {"method": "lora", "target_modules": ("q_proj", "v_proj")},
    "qlora nf4": {"method": "qlora", "quantization": "nf4"},
    "qlora int4": {"method": "qlora", "quantization": "int4"},
    "qlora int8": {"method": "qlora", "quantization": "int8"},
    "dora": {"method": "dora"},
    "dora nf4": {"method": "dora", "quantization": "nf4"},
    "rslora": {"method": "rslora"},
    "pissa": {"method": "pissa"},
}
VARIANTS = {"lora on attention", "qlora int4", "dora nf4"}  # with `make stress`
LAUNCHED = {"lora fast", "qlora nf4", "dora"}
TOLERANCE = {"fp32": 1e-4, "bf16": 5e-2}


@pytest.mark.parametrize(
    "case", [pytest.param(name, marks=pytest.mark.stress) if name in VARIANTS else name for name in CASES]
)
def test_a_method_learns_and_its_adapter_is_plain_peft(
    studio: Studio, make_spec: Callable[..., Any], tiny_model: Path, case: str
) -> None:
    """Loss falls; ``PeftModel.from_pretrained`` on the base that the user named gives the loss that the run measured at its end."""
    data = studio.data(str(make_spec().data.path), split=0.2, seed=1)
    fields = {
        "max_steps": 12,
        "save_steps": 6,
        "learning_rate": 1e-2,
        "batch_size": 8,
        "gradient_accumulation_steps": 1,
        **CASES[case],
    }
    spec = make_spec(data=data, **fields)
    run = studio.launch(spec).wait(300) if case in LAUNCHED else train_here(studio, spec)
    losses = [row.values["loss"] for row in read_metrics(run.folder.metrics) if "loss" in row.values]
    assert len(losses) == 12
    assert sum(losses[-3:]) < 0.98 * sum(losses[:3]), losses
    config = json.loads((run.adapter.path / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(tiny_model)
    assert config["use_dora"] == (spec.method == "dora")
    assert config["r"] == (2 * spec.rank if spec.method == "pissa" else spec.rank)
    assert run.read()[0].plan.loop == ("fast" if "fast" in case else run.read()[0].plan.loop)  # type: ignore[union-attr]
    measured = run.read()[0].evaluations[-1].loss
    bare, tuned = losses_by_plain_peft(tiny_model, run.adapter.path, spec, data)
    assert tuned == pytest.approx(measured, rel=TOLERANCE[spec.precision])
    assert tuned < bare


def losses_by_plain_peft(model: Path, adapter: Path, spec: Any, data: Any) -> tuple[float, float]:
    """Loss on the held-out rows, of the base and of base and adapter, with transformers and peft alone."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    from peft_studio.core.data import load_encoder

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[spec.precision]
    quantization = {
        None: None,
        "int8": BitsAndBytesConfig(load_in_8bit=True),
        "int4": BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="fp4", bnb_4bit_compute_dtype=dtype),
        "nf4": BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
        ),
    }[spec.quantization]
    base = AutoModelForCausalLM.from_pretrained(model, dtype=dtype, quantization_config=quantization).eval()
    for module in base.modules():  # on some CPUs bitsandbytes would answer with another kernel, to three digits
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    encoder = load_encoder(model)
    rows = [
        encoder.encode(example, max_length=spec.max_length, assistant_only=True) for example in data.eval_examples()
    ]

    def loss_of(causal: Any) -> float:
        total, count = 0.0, 0
        with torch.no_grad():
            for row in rows:
                labels = [token if learn else -100 for token, learn in zip(row.tokens, row.trainable, strict=True)]
                tokens = sum(label != -100 for label in labels[1:])
                with torch.autocast("cpu", dtype=torch.bfloat16, enabled=spec.precision == "bf16"):
                    loss = causal(input_ids=torch.tensor([list(row.tokens)]), labels=torch.tensor([labels])).loss
                total, count = total + float(loss) * tokens, count + tokens
        return total / count

    bare = loss_of(base)
    return bare, loss_of(PeftModel.from_pretrained(base, str(adapter)).eval())
