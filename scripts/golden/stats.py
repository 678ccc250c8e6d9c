"""Makes stats.json: statistics by scipy, numpy and rliable that experiments/src/stats.rs must equal.

    pip install rliable==1.2.0 scipy==1.17.1 numpy==2.4.6 pandas==2.3.3 && python3 stats.py > stats.json
"""

import json
from importlib.metadata import version

import numpy as np
from rliable import library, metrics
from scipy.stats import trim_mean

rng = np.random.default_rng(2021)
np.random.seed(0)  # rliable draws from numpy's global generator

samples = [np.round(rng.normal(100, 40, n), 3) for n in (1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 50)]
# 10 runs of 5 tasks with scales and skews of their own; the last task has ties.
scores = np.stack(
    [
        rng.normal(0.7, 0.1, 10),
        rng.exponential(0.5, 10),
        rng.uniform(-0.2, 1.4, 10),
        1 - rng.exponential(0.05, 10),
        rng.integers(0, 3, 10) / 2,
    ],
    axis=1,
).round(3)


# Another algorithm on the same tasks with 7 runs, equal to the first one on some scores of the last task.
others = np.vstack([scores[:7, :4].T * 0.8 + 0.1, rng.integers(0, 3, 7) / 2]).T.round(3)
taus = np.round(np.linspace(-0.25, 1.5, 8), 3)


def aggregate(runs, statistic):
    """A statistic with rliable's 95 % interval from 50,000 resamples."""

    def as_array(x):
        return np.array([statistic(x)])

    value, ends = library.get_interval_estimates({"x": runs}, as_array, reps=50_000)
    low, high = ends["x"][:, 0]
    return {"value": value["x"][0], "low": low, "high": high}


def improvement(x, y):
    """Probability that a run of x is better than one of y, with rliable's 95 % interval from 5,000 resamples."""

    def as_array(x, y):
        return np.array([metrics.probability_of_improvement(x, y)])

    # mannwhitneyu is slow: 5,000 resamples of it take as long as 50,000 of the others.
    value, ends = library.get_interval_estimates({"xy": (x, y)}, as_array, reps=5_000)
    low, high = ends["xy"][:, 0]
    return {"value": value["xy"][0], "low": low, "high": high}


def profile(runs):
    """Share of runs above each of taus, with pointwise 95 % intervals from 50,000 resamples."""
    value, ends = library.create_performance_profile({"x": runs}, taus, reps=50_000)
    low, high = ends["x"]
    return {"taus": taus.tolist(), "value": value["x"].tolist(), "low": low.tolist(), "high": high.tolist()}


print(
    json.dumps(
        {
            "versions": {name: version(name) for name in ("numpy", "scipy", "rliable", "arch")},
            "samples": [
                {
                    "values": sample.tolist(),
                    "iqm": trim_mean(sample, 0.25),
                    "trimmed_10": trim_mean(sample, 0.1),
                    "mean": sample.mean(),
                    "median": np.median(sample),
                    "quantiles": np.quantile(sample, [0, 0.025, 0.25, 0.6, 0.975, 1]).tolist(),
                }
                for sample in samples
            ],
            "tasks": scores.T.tolist(),
            "iqm": aggregate(scores, metrics.aggregate_iqm),
            "mean": aggregate(scores, metrics.aggregate_mean),
            "median": aggregate(scores, metrics.aggregate_median),
            "optimality_gap": aggregate(scores, metrics.aggregate_optimality_gap),
            "others": others.T.tolist(),
            "improvement": improvement(scores, others),
            "improvement_on_itself": improvement(scores, scores),
            "profile": profile(scores),
            "one_task_iqm": aggregate(scores[:, 1:2], metrics.aggregate_iqm),
        },
        indent=1,
    )
)
