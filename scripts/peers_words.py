"""Word2Vec of gensim, for comparison with `cargo bench -p thorndike-words --bench words`; its fastest way, `corpus_file`.

    peers_words.py text FILE FOLDER ..   writes the paragraphs of the .gz files in the folders as lines of [a-z]+; needs no packages
    peers_words.py FILE                  prints lines `peer <row> <value>`: words a second, with one thread and with two
    peers_words.py score FILE [SEED ..]  prints how gensim's vectors do on the tests in data/word_eval

Rows ending in -whole are from the file to the vectors; others are of training alone.
"""
import gzip, os, re, sys, time
from pathlib import Path

# Its workers are threads of their own.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

EPOCHS = 5


def text(path, folders):
    with open(path, "w") as out:
        for folder in folders:
            for file in sorted(Path(folder).glob("*.gz")):
                for paragraph in re.split(r"\n\s*\n", gzip.open(file, "rt", encoding="utf-8").read().lower()):
                    words = re.findall("[a-z]+", paragraph)
                    if words:
                        out.write(" ".join(words) + "\n")


def model(name, threads, seed):
    from gensim.models import Word2Vec

    skip_gram, softmax = name.startswith("skip-gram"), name.endswith("-hs")
    return Word2Vec(
        vector_size=100, window=5, min_count=5, sample=1e-3, epochs=EPOCHS, workers=threads, seed=seed,
        sg=int(skip_gram), hs=int(softmax), negative=0 if softmax else 5, alpha=0.025 if skip_gram else 0.05,
    )


def train(name, path, threads, seed=1):
    """Vectors, and seconds of training and in all."""
    started = time.perf_counter()
    made = model(name, threads, seed)
    made.build_vocab(corpus_file=path)
    began = time.perf_counter()
    made.train(corpus_file=path, total_examples=made.corpus_count, total_words=made.corpus_total_words, epochs=EPOCHS)
    ended = time.perf_counter()
    return made, ended - began, ended - started


def speed(path):
    for threads in (1, 2):
        for name in ("skip-gram", "cbow", "skip-gram-hs", "cbow-hs"):
            made, training, whole = train(name, path, threads)
            words = EPOCHS * made.corpus_total_words
            print(f"peer words-{name}-{threads} {words / training:.0f}", flush=True)
            print(f"peer words-{name}-{threads}-whole {words / whole:.0f}", flush=True)


def score(path, seeds):
    tests = "data/word_eval/"
    for name in ("skip-gram", "cbow", "skip-gram-hs"):
        for seed in seeds:
            vectors = train(name, path, 1, seed)[0].wv
            pairs = [
                vectors.evaluate_word_pairs(f"{tests}EN-{which}.txt")[1].statistic for which in ("WS-353-ALL", "MEN-TR-3k")
            ]
            right = vectors.evaluate_word_analogies(tests + "questions-words.txt")[1][-1]
            asked = len(right["correct"]) + len(right["incorrect"])
            print(f"{name} seed {seed}: {pairs[0]:.4f} {pairs[1]:.4f} {len(right['correct'])} of {asked}", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "text":
        text(sys.argv[2], sys.argv[3:])
    elif sys.argv[1] == "score":
        score(sys.argv[2], [int(seed) for seed in sys.argv[3:]] or [1, 2, 3])
    else:
        speed(sys.argv[1])
