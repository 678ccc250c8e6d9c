//! Scores equal those of scikit-learn, scipy and numpy, as `scripts/golden/metrics.py` has recorded them.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its functions too")]

use serde::Deserialize;
use serde_json::Value;
use thorndike_data::score::*;

/// A few roundings of `f64` in sums of up to a hundred terms.
const TOLERANCE: f64 = 1e-11;

#[track_caller]
fn close(ours: f64, theirs: &Value, what: &str) {
    within(ours, theirs, TOLERANCE, what);
}

#[track_caller]
fn within(ours: f64, theirs: &Value, tolerance: f64, what: &str) {
    let theirs = theirs.as_f64().unwrap();
    assert!(
        (ours - theirs).abs() <= tolerance,
        "{what}: ours is {ours}, theirs {theirs}"
    );
}

fn cases(kind: &str) -> Vec<Value> {
    match golden()[kind].take() {
        Value::Array(cases) => cases,
        case => vec![case],
    }
}

fn golden() -> Value {
    serde_json::from_str(include_str!("metrics.json")).unwrap()
}

fn list<T: for<'a> Deserialize<'a>>(value: &Value) -> Vec<T> {
    Vec::deserialize(value).unwrap()
}

fn number(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

#[test]
fn classes_and_probabilities() {
    for case in cases("classes") {
        let name = case["name"].as_str().unwrap();
        let classes = number(&case["classes"]);
        let (truth, predicted) = (list::<i32>(&case["truth"]), list::<i32>(&case["predicted"]));
        let probabilities = list::<f64>(&case["probabilities"]);

        let confusion = Confusion::of(classes, &truth, &predicted);
        assert_eq!(
            confusion.matrix(),
            list::<u64>(&case["confusion"]),
            "{name}"
        );
        close(confusion.accuracy(), &case["accuracy"], name);
        close(confusion.mean_iou(), &case["mean_iou"], name);
        for (class, score) in confusion.per_class().iter().enumerate() {
            close(score.precision, &case["precision"][class], name);
            close(score.recall, &case["recall"][class], name);
            close(score.f1, &case["f1"][class], name);
            assert_eq!(score.support, case["support"][class].as_u64().unwrap());
        }
        for average in [Average::Macro, Average::Micro, Average::Weighted] {
            let key = serde_json::to_value(average).unwrap();
            let score = confusion.average(average);
            let theirs = &case["averages"][key.as_str().unwrap()];
            close(score.precision, &theirs[0], name);
            close(score.recall, &theirs[1], name);
            close(score.f1, &theirs[2], name);
        }

        for (i, theirs) in case["top_k"].as_array().unwrap().iter().enumerate() {
            let ours = top_k_accuracy(&truth, &probabilities, classes, i + 1);
            close(ours, theirs, name);
        }
        close(
            log_loss(&truth, &probabilities, classes),
            &case["log_loss"],
            name,
        );
        close(
            roc_auc_ovr(&truth, &probabilities, classes),
            &case["roc_auc_ovr"],
            name,
        );
        for bins in [10, 15] {
            let calibration = Calibration::of(bins, &truth, &probabilities, classes);
            let theirs = &case["calibration_error"][bins.to_string()];
            close(calibration.error(), theirs, name);
        }
    }
}

#[test]
fn rankings() {
    for case in cases("ranking") {
        let positive = list::<i32>(&case["truth"])
            .iter()
            .map(|&t| t == 1)
            .collect::<Vec<_>>();
        let ours = roc_auc(&positive, &list::<f64>(&case["scores"]));
        close(ours, &case["roc_auc"], case["name"].as_str().unwrap());
    }
}

#[test]
fn numbers() {
    for case in cases("numbers") {
        let name = case["name"].as_str().unwrap();
        let (truth, predicted) = (list::<f64>(&case["truth"]), list::<f64>(&case["predicted"]));
        let scores = Regression::of(number(&case["outputs"]), &truth, &predicted);
        // One output lies at a million, with 10 digits left for a spread of 10.
        within(scores.r2(), &case["r2"], 1e-9, name);
        for (output, ours) in scores.r2_each().into_iter().enumerate() {
            within(ours, &case["r2_each"][output], 1e-9, name);
        }
        within(scores.mse(), &case["mse"], 1e-9, name);
        within(scores.mae(), &case["mae"], 1e-9, name);
    }
}

#[test]
fn masks() {
    let case = &cases("masks")[0];
    let (truth, predicted) = (list::<i32>(&case["truth"]), list::<i32>(&case["predicted"]));
    let masks = Masks::of(
        number(&case["classes"]),
        number(&case["pixels"]),
        &truth,
        &predicted,
    );
    for (image, (&iou, &dice)) in masks.iou_each().iter().zip(masks.dice_each()).enumerate() {
        close(iou, &case["iou_each"][image], "iou");
        close(dice, &case["dice_each"][image], "dice");
    }
    assert_eq!(masks.iou_each().len(), list::<f64>(&case["iou_each"]).len());
    close(masks.whole().mean_iou(), &case["iou_whole"], "iou of all");
    close(
        masks.whole().mean_dice(),
        &case["dice_whole"],
        "dice of all",
    );
}

#[test]
fn intervals_of_shares() {
    for case in cases("wilson") {
        let ours = wilson(number(&case["successes"]) as u64, number(&case["n"]) as u64);
        close(ours.low, &case["low"], "low");
        close(ours.high, &case["high"], "high");
    }
}

#[test]
fn bootstrap_intervals() {
    for case in cases("intervals") {
        let name = case["name"].as_str().unwrap();
        let (truth, predicted): (Vec<f64>, Vec<f64>) =
            (list(&case["samples"][0]), list(&case["samples"][1]));
        let ours = interval(truth.len(), 0, 20_000, |drawn| match name {
            "f1" => {
                let mut confusion = Confusion::new(2);
                let pairs = drawn
                    .iter()
                    .map(|&i| (truth[i] as usize, predicted[i] as usize));
                pairs.for_each(|(truth, predicted)| confusion.count(truth, predicted));
                confusion.mean_dice()
            }
            _ => {
                let mut scores = Regression::new(1);
                drawn
                    .iter()
                    .for_each(|&i| scores.add(&truth[i..=i], &predicted[i..=i]));
                scores.r2()
            }
        });
        let ours = ours.unwrap();
        // Monte Carlo: the density at the ends is about 1, so the standard error of either end is about
        // sqrt(0.025 * 0.975 / 20,000) = 0.0011, that of their difference 0.0016.
        within(ours.low, &case["low"], 0.01, name);
        within(ours.high, &case["high"], 0.01, name);
    }
}
