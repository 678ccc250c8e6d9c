"""Makes agents/data/tests/metrics.json: scores by scikit-learn, scipy and numpy that agents/data/src/score must equal.

    pip install scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6
    python3 metrics.py > ../../agents/data/tests/metrics.json
"""

import json
from importlib.metadata import version

import numpy as np
from scipy.stats import binomtest, bootstrap
from sklearn import metrics

rng = np.random.default_rng(2024)


def averages(truth, predicted):
    """Precision, recall and F1 by average; zero where nothing can be divided."""
    return {
        average: metrics.precision_recall_fscore_support(truth, predicted, average=average, zero_division=0)[:3]
        for average in ("macro", "micro", "weighted")
    }


def iou(truth, predicted):
    """Mean over the classes that occur in either, which are scikit-learn's default labels."""
    return metrics.jaccard_score(truth, predicted, average="macro", zero_division=0)


def dice(truth, predicted):
    return metrics.f1_score(truth, predicted, average="macro", zero_division=0)


def calibration_error(truth, probabilities, bins):
    """Guo et al. 2017, equation 3, by a loop over bins."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    bin_of = np.digitize(confidence, np.linspace(0, 1, bins + 1), right=True)
    gaps = [(bin_of == b).mean() * abs(right[bin_of == b].mean() - confidence[bin_of == b].mean()) for b in set(bin_of)]
    return sum(gaps)


def classes(name, n, count, absent=(), certain=False):
    """Classes by softmaxed noise around the truth; classes in `absent` are never true; `certain` adds zeros and ones."""
    truth = rng.choice([c for c in range(count) if c not in absent], n)
    logits = rng.normal(0, 1.2, (n, count)) + 1.5 * np.eye(count)[truth]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if certain:  # 0 and 1, right and wrong
        probabilities[:3] = np.eye(count)[[truth[0], (truth[1] + 1) % count, truth[2]]]
    predicted = probabilities.argmax(axis=1)
    labels = list(range(count))
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        truth, predicted, labels=labels, zero_division=0
    )
    ranked = [c for c in labels if c not in absent]
    one_vs_rest = [metrics.roc_auc_score(truth == c, probabilities[:, c]) for c in ranked]
    if not absent and count > 2:
        whole = metrics.roc_auc_score(truth, probabilities, multi_class="ovr", average="macro")
        assert abs(whole - np.mean(one_vs_rest)) < 1e-12
    return {
        "name": name,
        "classes": count,
        "truth": truth,
        "probabilities": probabilities.ravel(),
        "predicted": predicted,
        "confusion": metrics.confusion_matrix(truth, predicted, labels=labels).ravel(),
        "accuracy": metrics.accuracy_score(truth, predicted),
        "top_k": [metrics.top_k_accuracy_score(truth, probabilities, k=k, labels=labels) for k in range(1, count)]
        if count > 2 and not certain  # of equal scores, scikit-learn puts the last first
        else [],
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "support": support,
        "averages": averages(truth, predicted),
        "log_loss": metrics.log_loss(truth, probabilities, labels=labels),
        "roc_auc_ovr": np.mean(one_vs_rest),
        "mean_iou": iou(truth, predicted),
        "calibration_error": {str(bins): calibration_error(truth, probabilities, bins) for bins in (10, 15)},
    }


def ranking(name, truth, scores):
    return {"name": name, "truth": truth, "scores": scores, "roc_auc": metrics.roc_auc_score(truth, scores)}


def numbers(name, truth, predicted):
    return {
        "name": name,
        "outputs": truth.shape[1],
        "truth": truth.ravel(),
        "predicted": predicted.ravel(),
        "r2": metrics.r2_score(truth, predicted),
        "r2_each": metrics.r2_score(truth, predicted, multioutput="raw_values"),
        "mse": metrics.mean_squared_error(truth, predicted),
        "mae": metrics.mean_absolute_error(truth, predicted),
    }


def masks():
    """Images of 6 x 6 pixels, 4 classes; each image lacks one, and -1 is not counted."""
    truth = np.stack([rng.choice([c for c in range(4) if c != i % 4], 36) for i in range(5)])
    predicted = np.where(rng.random(truth.shape) < 0.3, rng.integers(0, 4, truth.shape), truth)
    truth[rng.random(truth.shape) < 0.1] = -1
    images = [(t[t >= 0], p[t >= 0]) for t, p in zip(truth, predicted)]
    everything = [np.concatenate(part) for part in zip(*images)]
    return {
        "classes": 4,
        "pixels": 36,
        "truth": truth.ravel(),
        "predicted": predicted.ravel(),
        "iou_each": [iou(*image) for image in images],
        "dice_each": [dice(*image) for image in images],
        "iou_whole": iou(*everything),
        "dice_whole": dice(*everything),
    }


def wilson(successes, n):
    interval = binomtest(successes, n).proportion_ci(0.95, method="wilson")
    return {"successes": successes, "n": n, "low": interval.low, "high": interval.high}


def resampled(name, statistic, *samples):
    """Percentile interval of 20,000 resamples, with the sample it is of."""
    interval = bootstrap(
        samples, statistic, n_resamples=20_000, paired=True, vectorized=False, method="percentile", rng=rng
    ).confidence_interval
    return {"name": name, "samples": samples, "low": interval.low, "high": interval.high}


def plain(value):
    """As json takes it; every float with all its digits."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


truth = rng.integers(0, 2, 50)
scores = truth + rng.normal(0, 1.5, 50)
plane = rng.normal(10, 3, (40, 1)).round(3)
several = rng.normal(0, [1, 10, 0], (30, 3)).round(3) + [0, 1e6, 5]  # far from 0; always the same
golden = {
    "versions": {name: version(name) for name in ("numpy", "scipy", "scikit-learn")},
    "classes": [
        classes("binary", 50, 2),
        classes("five", 70, 5),
        classes("five, one absent", 60, 5, absent=(3,)),
        classes("three, certain", 30, 3, certain=True),
    ],
    "ranking": [
        ranking("without ties", truth, scores),
        ranking("with ties", truth, scores.round(0)),
        ranking("all tied", truth, np.zeros(50)),
    ],
    "numbers": [
        numbers("one", plane, plane + rng.normal(0, 1, plane.shape).round(3)),
        numbers("worse than the mean", plane, rng.normal(0, 3, plane.shape).round(3)),
        numbers("several", several, several + rng.normal(0, [0.5, 4, 1], several.shape).round(3)),
        numbers("perfect", several, several),
    ],
    "masks": masks(),
    "wilson": [wilson(*pair) for pair in ((0, 10), (10, 10), (7, 10), (1, 1), (431, 500), (9_999, 10_000))],
    "intervals": [
        resampled("f1", dice, truth, (scores > 0.5).astype(int)),
        resampled("r2", metrics.r2_score, plane[:, 0], (plane[:, 0] + rng.normal(0, 1, 40)).round(3)),
    ],
}
lines = []
for key, value in golden.items():
    value = plain(value)
    if isinstance(value, list):
        items = ",\n  ".join(json.dumps(item) for item in value)
        lines.append(f' "{key}": [\n  {items}\n ]')
    else:
        lines.append(f' "{key}": {json.dumps(value)}')
print("{\n" + ",\n".join(lines) + "\n}")
