"""Makes `goldens/tokenizer_NAME.gguf` and `goldens/tokenizer_ids.json`: token ids as the original library gives them.

Byte-level tokenizers are trained on a few lines with the `tokenizers` library, with the normaliser and the
pre-tokenizer of the real ones; SentencePiece models are trained and asked with the `sentencepiece` library.
`check_llama_cpp.mjs` then compares all of it with llama.cpp, and asks llama.cpp for the ids of the demo model.
"""

import json
import tempfile
from pathlib import Path

import gguf
import numpy as np
import sentencepiece
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

HERE = Path(__file__).parent
GOLDENS = HERE / "goldens"
TEXTS = json.loads((HERE / "texts.json").read_text())
TRAINING = [
    "The glossators wrote explanations into the margins, and the margins of the margins.",
    "I've seen that you're right, he'll say; we don't know whether they'd agree. Hello world, hello!",
    "In 1234 and 2024 there were 12345 copies; 67 of 100 were lost, 3.14 and 0.5 of 10.",
    "fn main() { let value = vec![1, 2, 3]; return value.len(); } def function(self): return None",
    "Привет мир, 你好世界 世界, السلام عليكم السلام, 안녕하세요, naïve café, façade",
    "line\n\nline\n    indented\n        deeper\n\t\ttabs   spaces",
] * 3
LETTERS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def byte_level(expression=None, digits=False):
    """ByteLevel with GPT-2's expression, or after a split by another one."""
    steps = [pre_tokenizers.Digits(individual_digits=True)] if digits else []
    if expression:
        steps.append(pre_tokenizers.Split(Regex(expression), "isolated"))
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=expression is None))
    return pre_tokenizers.Sequence(steps)


BYTE_LEVEL = {
    "gpt-2": (None, byte_level()),
    "smollm": (None, byte_level(digits=True)),
    "olmo": (normalizers.NFC(), byte_level()),
    "llama-bpe": (None, byte_level(LETTERS + r"\p{N}{1,3}" + REST)),
    "qwen2": (normalizers.NFC(), byte_level(LETTERS + r"\p{N}" + REST)),
}


def write(name, model, tokens, kinds, extra):
    """A GGUF file with a tokenizer and as little of a model as there can be."""
    writer = gguf.GGUFWriter(GOLDENS / f"tokenizer_{name}.gguf", "llama")
    writer.add_context_length(8)
    writer.add_embedding_length(2)
    writer.add_block_count(1)
    writer.add_feed_forward_length(2)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model(model)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    extra(writer)
    writer.add_tensor("token_embd.weight", np.zeros((len(tokens), 2), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make_byte_level(name):
    normalizer, pre_tokenizer = BYTE_LEVEL[name]
    tokenizer = Tokenizer(models.BPE(ignore_merges=name == "llama-bpe"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=["<|endoftext|>", "<|im_start|>"], show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator(TRAINING, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)

    def extra(writer):
        writer.add_tokenizer_pre(name)
        writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]])
        writer.add_bos_token_id(0)
        writer.add_eos_token_id(0)

    write(name, "gpt2", tokens, [3, 3] + [1] * (len(tokens) - 2), extra)
    texts = TEXTS + ["a<|im_start|>b <|endoftext|>"]
    return [{"text": text, "ids": tokenizer.encode(text).ids} for text in texts]


def make_sentence_piece(name, prefix, symbols):
    with tempfile.TemporaryDirectory() as directory:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(TRAINING), model_prefix=f"{directory}/m", vocab_size=440, model_type="bpe",
            byte_fallback=True, add_dummy_prefix=prefix, normalization_rule_name="identity",
            remove_extra_whitespaces=False, split_digits=True, user_defined_symbols=symbols,
            hard_vocab_limit=False, minloglevel=2)
        processor = sentencepiece.SentencePieceProcessor(model_file=f"{directory}/m.model")
    ids = range(processor.get_piece_size())

    def kind(i):
        if processor.is_unknown(i):
            return 2
        if processor.is_control(i):
            return 3
        if processor.is_byte(i):
            return 6
        return 4 if processor.id_to_piece(i) in symbols else 1

    def extra(writer):
        writer.add_tokenizer_pre("default")
        writer.add_token_scores([processor.get_score(i) for i in ids])
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
        writer.add_unk_token_id(0)
        writer.add_add_space_prefix(prefix)

    write(name, "llama", [processor.id_to_piece(i) for i in ids], [kind(i) for i in ids], extra)
    return [{"text": text, "ids": processor.encode(text)} for text in TEXTS]


def by_line(ids):
    """JSON with one text on a line."""
    def lines(cases):
        return ",\n".join(json.dumps(case, ensure_ascii=False, separators=(",", ":")) for case in cases)

    return "{\n" + ",\n".join(f"{json.dumps(name)}: [\n{lines(cases)}\n]" for name, cases in ids.items()) + "\n}\n"


def main():
    ids = {name: make_byte_level(name) for name in BYTE_LEVEL}
    ids["llama"] = make_sentence_piece("llama", True, [])
    ids["gemma"] = make_sentence_piece("gemma", False, ["▁▁", "▁▁▁", "\n\n"])
    (GOLDENS / "tokenizer_ids.json").write_text(by_line(ids))


if __name__ == "__main__":
    main()
