"""Makes the tiny models and their goldens: `python make_goldens.py [NAME...]`, from this directory.

For every model in `tiny_models.py`, `goldens/NAME/` gets `config.json`, `model.safetensors` (or shards),
`tokenizer.json`, and

* `goldens.safetensors`: every hook point of every sequence as `SEQUENCE/HOOK`, its logits as
  `SEQUENCE/logits`, and the last row of logits under each intervention as `SEQUENCE/INTERVENTION`;
* `goldens.json`: the tokens, the interventions as text, and a greedy continuation of sequence 0.
"""

import json
import pathlib
import shutil
import sys

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM

from capture import Capture, Parts
from tiny_models import CONFIGS, INTERVENTIONS, TEXTS, VOCAB

HERE = pathlib.Path(__file__).parent


def make_tokenizer(directory):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([(HERE / "README.md").read_text()], trainer)
    tokenizer.save(str(directory / "tokenizer.json"), pretty=False)
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    (directory / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n")
    return tokenizer


def randomize(model):
    """Every parameter takes part: gains are not 1, biases not 0, scores spread, soft-caps bite."""
    for name, parameter in model.named_parameters():
        noise = torch.randn_like(parameter)
        if "norm" in name or "ln_" in name:
            gain = 0.0 if "gemma" in model.config.model_type else 1.0
            centre = gain if name.endswith("weight") else 0.0
            parameter.copy_(centre + 0.3 * noise)
        elif parameter.ndim == 1:
            parameter.copy_(0.2 * noise)
        elif parameter.shape[0] == VOCAB or "wpe" in name:
            parameter.copy_(0.5 * noise)
        else:
            parameter.copy_(1.2 * noise / parameter.shape[-1] ** 0.5)


def change(model, kind, vector):
    """Installs an intervention with forward hooks and returns its handle and its text."""
    rule = INTERVENTIONS[kind]
    parts = Parts(model)
    layer = rule["layer"] % len(parts.layers)
    block = parts.layers[layer]
    hook = f"blocks.{layer}.{rule['site']}"
    values = "[" + ",".join(f"{value:.8g}" for value in vector.tolist()) + "]"
    spec = rule["spec"].format(hook=hook, vector=values)
    _, attention, o, _, _, _, down, _, _ = parts.block(block)

    def zero_neuron(_module, inputs):
        inputs[0][..., rule["unit"]] = 0.0

    def ablate_head(_module, inputs):
        width = getattr(attention, "head_dim", None) or attention.head_size
        inputs[0][..., rule["head"] * width:(rule["head"] + 1) * width] = 0.0

    def add_to_stream(_module, _inputs, output):
        (output[0] if isinstance(output, tuple) else output)[0, rule["position"]] += vector

    if kind == "zero_neuron":
        return down.register_forward_pre_hook(zero_neuron), spec
    if kind == "ablate_head":
        return o.register_forward_pre_hook(ablate_head), spec
    return block.register_forward_hook(add_to_stream), spec


@torch.no_grad()
def make(name, settings):
    directory = HERE / "goldens" / name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(settings, indent=1) + "\n")
    tokenizer = make_tokenizer(directory)
    torch.manual_seed(sum(name.encode()))
    config = AutoConfig.from_pretrained(directory)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32)
    model.eval()
    randomize(model)
    model.tie_weights()
    saved = HERE / "goldens" / f".{name}"
    # The smallest model is saved in shards, so that reading shards is tested too.
    model.save_pretrained(saved, max_shard_size="30KB" if name == "mistral" else "1GB")
    for file in saved.glob("model*"):
        shutil.move(file, directory / file.name)
    shutil.rmtree(saved)

    sequences = [tokenizer.encode(text).ids[:14 - 3 * index] for index, text in enumerate(TEXTS)]
    tensors, specs = {}, {}
    vector = torch.round(torch.randn(model.get_input_embeddings().weight.shape[1]) * 64) / 64
    for index, tokens in enumerate(sequences):
        inputs = torch.tensor([tokens])
        with Capture(model) as capture:
            tensors[f"{index}/logits"] = model(inputs, use_cache=False).logits[0].clone()
        tensors |= {f"{index}/{hook}": values.contiguous() for hook, values in capture.values.items()}
        for kind in INTERVENTIONS:
            handle, specs[kind] = change(model, kind, vector)
            tensors[f"{index}/{kind}"] = model(inputs, use_cache=False).logits[0, -1].clone()
            handle.remove()
    limit = len(sequences[1])
    prompt = torch.tensor([sequences[1][:limit - 4]])
    greedy = model.generate(prompt, do_sample=False, max_new_tokens=6, eos_token_id=None, pad_token_id=0)
    save_file(tensors, directory / "goldens.safetensors")
    facts = {
        "sequences": sequences,
        "interventions": specs,
        "prompt": prompt[0].tolist(),
        "greedy": greedy[0, prompt.shape[1]:].tolist(),
    }
    (directory / "goldens.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(f"{name}: {sum(file.stat().st_size for file in directory.iterdir()) // 1024} KB, {len(tensors)} tensors")


if __name__ == "__main__":
    for name in sys.argv[1:] or CONFIGS:
        make(name, CONFIGS[name])
