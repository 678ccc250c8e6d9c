"""BERT in transformers, for comparison with `cargo bench -p thorndike-nets --bench text`. Two threads, time of the wall.

    peers_text.py [PART ..]

prints lines `peer <row> <value>`, tokens a second, where parts of names choose rows. Random weights; nothing is fetched.
"""
import os, sys, time

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from transformers import BertConfig, BertForPreTraining, BertModel


def rate(work, tokens, seconds=1.0, rounds=8):
    """Tokens a second in the best of some rounds, as other programs only ever make it slower."""
    work()
    best = 0.0
    for _ in range(rounds):
        start, calls = time.perf_counter(), 0
        while (took := time.perf_counter() - start) < seconds:
            work()
            calls += 1
        best = max(best, tokens * calls / took)
    return best


def masked():
    torch.manual_seed(1)
    model = BertForPreTraining(
        BertConfig(hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=1024)
    )
    model.train()
    plain = lambda name: "bias" in name or "LayerNorm" in name
    groups = [
        {"params": [p for n, p in model.named_parameters() if not plain(n)], "weight_decay": 0.01},
        {"params": [p for n, p in model.named_parameters() if plain(n)], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, fused=True)
    tokens = torch.randint(1000, 30522, (16, 128))
    labels = torch.full_like(tokens, -100).view(-1)
    labels[::7] = tokens.view(-1)[::7]
    labels = labels.view(16, 128)
    next_sentence = torch.zeros(16, dtype=torch.long)

    def step():
        optimizer.zero_grad()
        model(input_ids=tokens, labels=labels, next_sentence_label=next_sentence).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return rate(step, tokens.numel())


def forward():
    torch.manual_seed(1)
    model = BertModel(BertConfig()).eval()
    tokens = torch.randint(1000, 30522, (8, 128))

    def step():
        with torch.inference_mode():
            model(input_ids=tokens)

    return rate(step, tokens.numel())


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    parts = sys.argv[1:]
    for name, work in [("text-masked-mini-16x128", masked), ("text-forward-base-8x128", forward)]:
        if not parts or any(part in name for part in parts):
            print("peer", name, f"{work():.1f}", flush=True)
