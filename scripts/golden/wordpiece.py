"""Writes agents/data/tests/wordpiece.json: tokens of texts as the BERT tokeniser of transformers gives them.

    python scripts/golden/wordpiece.py data/bert_vocab

The folder holds vocab.txt, the vocabulary of bert-base-uncased, and sample_text.txt.
"""

import json
import pathlib
import sys

import tokenizers
import transformers

TEXTS = [
    "",
    "   \t\n ",
    "Caf\u00e9 na\u00efve \u00c5ngstr\u00f6m Z\u00fcrich, e\u0301a\u0300",
    "\u4f60\u597dworld\u4e16\u754c \u3053\u3093\u306b\u3061\u306f \ud55c\uad6d\uc5b4",
    "a\u0000b\u0007c\ufffdd\u200be\u00adf\u2028g\u00a0h",
    "x" * 100 + " " + "x" * 101 + " " + "a" * 300,
    "emoji \U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 ok \u2764\ufe0f",
    "don't -- stop... $100.50 #tag @you (a/b) \u201cquoted\u201d \u2026 \u2013 \u00bf\u00a1",
    "ISTANBUL \u0130stanbul \u00df \u1e9e \u03a3\u0391\u03a3 \ufb01ne \u2160 \u00bd",
    "[SEP looks like a mark] and ##ing [ MASK ]",
    "unaffable antidisestablishmentarianism 3.14159e-10 http://a.b/c?d=e",
]
PAIRS = [[3, 20, 12], [20, 3, 12], [9, 9, 12], [8, 9, 12], [9, 8, 12], [40, 1, 7]]

folder = pathlib.Path(sys.argv[1])
vocabulary = str(folder / "vocab.txt")
rules = {"uncased": {}, "cased": {"do_lower_case": False}, "accents": {"strip_accents": False}}


def encoded(tokenizer, text):
    # Offsets in characters.
    both = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    return {"ids": both["input_ids"], "offsets": both["offset_mapping"]}


out = {
    "versions": {"transformers": transformers.__version__, "tokenizers": tokenizers.__version__},
    "texts": TEXTS,
}
for name, options in rules.items():
    tokenizer = transformers.BertTokenizerFast(vocab_file=vocabulary, **options)
    if not tokenizer.vocab_size > 30000:
        tokenizer = transformers.BertTokenizerFast(vocabulary, **options)
    assert tokenizer.vocab_size > 30000
    out[name] = [encoded(tokenizer, text) for text in TEXTS]
    if name == "uncased":
        sample = (folder / "sample_text.txt").read_text(encoding="utf-8")
        out["sample"] = tokenizer(sample, add_special_tokens=False)["input_ids"]
        out["pairs"] = []
        for n, m, longest in PAIRS:
            a, b = " ".join(["a"] * n), " ".join(["b"] * m)
            ids = tokenizer(a, b, truncation="longest_first", max_length=longest)["input_ids"]
            out["pairs"].append({"lengths": [n, m, longest], "ids": ids})

path = pathlib.Path(__file__).parents[2] / "agents/data/tests/wordpiece.json"
path.write_text(json.dumps(out, separators=(",", ":")) + "\n")
