"""Loading a prepared folder: precisions, quantisation, torn files, and no code or pickle."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from peft_studio.core.models import ModelFailure  # noqa: E402  torch decides whether this file is collected
from peft_studio.runner.trainer.load import load_base, load_tokenizer  # noqa: E402
from tests.unit.runner.trainer.tiny_model import save_tiny_model  # noqa: E402

IDS = torch.arange(3, 11)[None]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny"))


def logits(model: Any) -> Any:
    with torch.no_grad():
        return model(IDS).logits.float()


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", "float32"), ("bf16", "bfloat16"), ("fp16", "float16")])
def test_precision(tiny: Path, precision: str, dtype: str) -> None:
    """The weights have the precision that was asked for, and fp32 gives transformers' own logits to the bit."""
    from transformers import AutoModelForCausalLM

    model = load_base(tiny, precision=precision)
    assert {str(parameter.dtype) for parameter in model.parameters()} == {f"torch.{dtype}"}
    if precision == "fp32":
        assert torch.equal(logits(model), logits(AutoModelForCausalLM.from_pretrained(tiny)))


@pytest.mark.parametrize(
    ("quantization", "layer", "kind"),
    [("int8", "Linear8bitLt", None), ("int4", "Linear4bit", "fp4"), ("nf4", "Linear4bit", "nf4")],
)
def test_quantization(tiny: Path, quantization: str, layer: str, kind: str | None) -> None:
    """Each name gives its bitsandbytes layers; answers stay near the plain model's and are not equal to them."""
    model = load_base(tiny, quantization=quantization)
    projection = model.model.layers[0].self_attn.q_proj
    assert type(projection).__name__ == layer
    if kind:
        assert projection.weight.quant_type == kind
        assert projection.weight.compress_statistics == (quantization == "nf4")
    plain, found = logits(load_base(tiny)), logits(model)
    similarity = torch.nn.functional.cosine_similarity(plain.flatten(), found.flatten(), dim=0)
    assert 0.9 < similarity < 0.999999


@pytest.mark.parametrize("quantization", ["int4", "nf4", "int8"])
def test_an_evaluation_leaves_the_gradients_as_they_were(tiny: Path, quantization: str) -> None:
    """On some CPUs bitsandbytes repacks weights that answer in evaluation mode, and a packed layer has no backward pass."""
    model = load_base(tiny, quantization=quantization)

    def gradient() -> Any:
        model.train()
        embedded = model.get_input_embeddings()(IDS).detach().requires_grad_()
        return torch.autograd.grad(model(inputs_embeds=embedded).logits.float().square().sum(), embedded)[0]

    before = gradient()
    model.eval()
    logits(model)
    assert before.any()
    assert torch.equal(before, gradient())


@pytest.mark.parametrize("quantization", [None, "nf4"])
def test_peft_does_not_believe_in_offloading(tiny: Path, quantization: str | None) -> None:
    """A model on the CPU has no device map: with one, peft would hook every layer of the first adapter."""
    assert getattr(load_base(tiny, quantization=quantization), "hf_device_map", None) is None


def test_torn_weights(tiny: Path, tmp_path: Path) -> None:
    """Weights cut short are 'incomplete', with what to do."""
    shutil.copytree(tiny, tmp_path / "m")
    path = tmp_path / "m" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelFailure) as caught:
        load_base(tmp_path / "m")
    assert caught.value.code == "incomplete"


def test_unknown_architecture(tiny: Path, tmp_path: Path) -> None:
    """An architecture that transformers does not know is 'unsupported', not a stack trace."""
    shutil.copytree(tiny, tmp_path / "m")
    config = json.loads((tiny / "config.json").read_text())
    (tmp_path / "m" / "config.json").write_text(json.dumps({**config, "model_type": "from-the-future"}))
    with pytest.raises(ModelFailure) as caught:
        load_base(tmp_path / "m")
    assert caught.value.code == "unsupported"


def test_no_code_and_no_pickle(tiny: Path, tmp_path: Path) -> None:
    """The last door is closed too: code in the folder does not run, and a pickle is not opened."""
    shutil.copytree(tiny, tmp_path / "m")
    proof = tmp_path / "it-ran"
    config = json.loads((tiny / "config.json").read_text())
    auto_map = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    (tmp_path / "m" / "config.json").write_text(json.dumps({**config, "model_type": "evil", "auto_map": auto_map}))
    (tmp_path / "m" / "evil.py").write_text(f"open({str(proof)!r}, 'w').close()")
    for load in (load_base, load_tokenizer):
        with pytest.raises(ModelFailure) as caught:
            load(tmp_path / "m")
        assert caught.value.code == "untrusted"
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    (tmp_path / "m" / "model.safetensors").unlink()
    torch.save({}, tmp_path / "m" / "pytorch_model.bin")
    with pytest.raises(ModelFailure, match="pickle"):
        load_base(tmp_path / "m")
    assert not proof.exists()


def test_named_code_runs_from_its_commit_only(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code in a hub snapshot runs when its repository and commit were named, and the model it defines is loaded."""
    from peft_studio.core.models import RemoteCode

    commit = "0123456789abcdef0123456789abcdef01234567"
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder = tmp_path / "models--org--code" / "snapshots" / commit
    shutil.copytree(tiny, folder)
    config = json.loads((tiny / "config.json").read_text())
    auto_map = {"AutoModelForCausalLM": "modeling.NamedModel"}
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": auto_map}))
    (folder / "modeling.py").write_text(
        "from transformers import LlamaForCausalLM\nclass NamedModel(LlamaForCausalLM): ...\n"
    )
    assert type(load_base(folder, remote_code=RemoteCode("org/code", commit))).__name__ == "NamedModel"
    with pytest.raises(ModelFailure):
        load_base(folder, remote_code=RemoteCode("org/code", commit[::-1]))


def test_tokenizer_has_a_padding_token(tiny: Path, tmp_path: Path) -> None:
    """A tokenizer that names no padding token pads with its end token."""
    shutil.copytree(tiny, tmp_path / "m")
    path = tmp_path / "m" / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    del settings["pad_token"]
    path.write_text(json.dumps(settings))
    tokenizer = load_tokenizer(tmp_path / "m")
    assert tokenizer.pad_token_id == tokenizer.eos_token_id


def test_torn_tokenizer(tiny: Path, tmp_path: Path) -> None:
    """A torn tokenizer.json is a failure that names the folder."""
    shutil.copytree(tiny, tmp_path / "m")
    (tmp_path / "m" / "tokenizer.json").write_text('{"version": "1.0", ')
    with pytest.raises(ModelFailure, match="tokenizer"):
        load_tokenizer(tmp_path / "m")


@pytest.mark.parametrize("quantization", ["nf4", "int4"])
def test_evaluating_and_saving_leave_a_4bit_base_as_it_is(tiny_model: Path, quantization: str) -> None:
    """bitsandbytes lays the weights out anew for evaluation on some CPUs, and back, rounded, when a state is saved: here it must not."""
    model = load_base(tiny_model, quantization=quantization).eval()
    stored = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    probe = torch.arange(3, 40).unsqueeze(0)
    with torch.no_grad():
        before = model(input_ids=probe).logits
        assert all(torch.equal(tensor, stored[name]) for name, tensor in model.state_dict().items())
        assert torch.equal(model(input_ids=probe).logits, before)
