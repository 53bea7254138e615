"""Small random transformers with vocabularies of the three usual kinds, made on the spot."""

from __future__ import annotations

import json
from pathlib import Path

TEXTS = [
    "Ada Obi joined Kestrel Foods in Accra .",
    "Obi said nothing .",
    "The Harbour Cup went to Ghana .",
    "Ghana beat Peru 2-1 .",
    "Kestrel Foods sold its mill . Shares fell .",
]


def tiny_transformer(folder: Path, kind: str = "wordpiece", *, layers: int = 3) -> Path:
    """A folder as transformers' ``save_pretrained`` writes it, its weights random."""
    import torch
    from transformers import BertConfig, BertModel, RobertaConfig, RobertaModel

    tokenizer = TOKENIZERS[kind]()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    sizes = {
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": 16,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 300,
    }
    torch.manual_seed(7)
    if kind == "wordpiece":
        network = BertModel(BertConfig(**sizes, pad_token_id=0))
    else:
        network = RobertaModel(RobertaConfig(**sizes, pad_token_id=1))
    network.save_pretrained(folder, safe_serialization=True)
    assert json.loads((folder / "config.json").read_text())["hidden_size"] == 16
    return folder


def _wordpiece():
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(vocab_size=120, special_tokens=special)
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def _bytes():
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), add_prefix_space=False
    )
    return tokenizer


def _sentencepiece():
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=100, special_tokens=["<s>", "<pad>", "</s>", "<unk>"], unk_token="<unk>"
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


def transformer_settings(kind: str, factory) -> dict[str, object]:
    """What ``fit`` needs of the embedding of this name: a transformer, vectors, or nothing."""
    if kind == "referenced":
        file = factory.mktemp("vectors") / "v.txt"
        file.write_text("Ada .1 .2 .3\nLagos 1 2 -3\nthe 0 1 2\n", encoding="utf-8")
        return {"file": str(file)}
    if kind != "transformer":
        return {}
    folder = factory.mktemp("transformer")
    model = str(tiny_transformer(folder / "model"))
    return {"model": model, "include": True, "cache": str(folder / "cache")}


TOKENIZERS = {"wordpiece": _wordpiece, "bytes": _bytes, "sentencepiece": _sentencepiece}
