//! Average precision of boxes equals that of pycocotools: on cases that `scripts/golden/coco.py` has drawn, and on the
//! files of `metric_golden`, where they are at hand.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its functions too")]

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use thorndike_data::score::{Coco, CocoSummary, Found, Truth};

/// A figure of pycocotools, and ours.
type Figure = (&'static str, fn(&CocoSummary) -> f64);

#[derive(Deserialize)]
struct Case {
    gt: GroundTruth,
    detections: Vec<Box>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct GroundTruth {
    images: Vec<Id>,
    annotations: Vec<Box>,
    categories: Vec<Id>,
}

#[derive(Deserialize)]
struct Id {
    id: u64,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Box {
    image_id: u64,
    category_id: u64,
    bbox: [f64; 4],
    area: Option<f64>,
    #[serde(default)]
    iscrowd: u8,
    #[serde(default)]
    score: f64,
}

/// In the order of pycocotools: pictures and classes by number.
fn coco(case: &Case) -> (Coco, Vec<&Id>) {
    let mut categories: Vec<&Id> = case.gt.categories.iter().collect();
    categories.sort_by_key(|category| category.id);
    let class = |of: &Box| {
        let known = categories.iter().position(|c| c.id == of.category_id);
        known.unwrap()
    };
    let mut pictures: BTreeMap<u64, (Vec<Truth>, Vec<Found>)> = BTreeMap::new();
    for image in &case.gt.images {
        pictures.entry(image.id).or_default();
    }
    for a in &case.gt.annotations {
        pictures.get_mut(&a.image_id).unwrap().0.push(Truth {
            class: class(a),
            bounds: a.bbox,
            area: a.area.unwrap(),
            crowd: a.iscrowd == 1,
        });
    }
    for d in &case.detections {
        pictures.get_mut(&d.image_id).unwrap().1.push(Found {
            class: class(d),
            score: d.score,
            bounds: d.bbox,
        });
    }
    let mut coco = Coco::new(categories.len());
    for (truth, found) in pictures.values() {
        coco.add(truth, found);
    }
    (coco, categories)
}

/// Compares the twelve figures, and AP50 of each class; theirs is -1 where there is nothing to find.
fn check(case: &Case, what: &str) {
    let expected = case
        .rest
        .iter()
        .find(|(key, _)| key.starts_with("expected"));
    let expected = expected
        .unwrap_or_else(|| panic!("{what}: no expected figures"))
        .1;
    let close = |ours: f64, theirs: &Value, name: &str| {
        let theirs = theirs.as_f64().unwrap();
        let equal = match ours.is_nan() {
            true => theirs == -1.0 || theirs.is_nan(),
            // 1e-9: sums of up to 101 * 10 * classes terms of f64 in another order.
            false => (ours - theirs).abs() < 1e-9,
        };
        assert!(equal, "{what}: {name}: ours is {ours}, theirs {theirs}");
    };
    let (coco, categories) = coco(case);
    let summary = coco.summary();
    let figures: [Figure; 12] = [
        ("AP", |s| s.ap),
        ("AP50", |s| s.ap50),
        ("AP75", |s| s.ap75),
        ("AP_small", |s| s.ap_small),
        ("AP_medium", |s| s.ap_medium),
        ("AP_large", |s| s.ap_large),
        ("AR_1", |s| s.ar_1),
        ("AR_10", |s| s.ar_10),
        ("AR_100", |s| s.ar_100),
        ("AR_small", |s| s.ar_small),
        ("AR_medium", |s| s.ar_medium),
        ("AR_large", |s| s.ar_large),
    ];
    for (name, of) in figures {
        close(of(&summary), &expected[name], name);
    }
    if let Some(each) = expected["AP50_per_class"].as_object() {
        for (category, [_, ap50]) in categories.iter().zip(coco.per_class()) {
            let name = category.name.as_deref().unwrap();
            close(ap50, &each[name], name);
        }
    }
}

#[test]
fn random_cases_are_scored_as_by_pycocotools() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("coco.json")).unwrap();
    assert_eq!(cases.len(), 12);
    for (i, case) in cases.iter().enumerate() {
        check(case, &format!("case {i}"));
    }
}

/// Every file of `metric_golden` that holds ground truth, detections and what is expected of them.
#[test]
fn metric_golden_of_coco() {
    let data = std::env::var_os("THORNDIKE_DATA");
    let data = data.as_deref().unwrap_or("../shared/data".as_ref());
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = workspace.join(data).join("metric_golden");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!("skipped: no {}", folder.display());
        return;
    };
    let mut compared = 0;
    for entry in entries {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "json") {
            continue;
        }
        let value: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        if value.get("gt").is_some() && value.get("detections").is_some() {
            let case: Case = serde_json::from_value(value).unwrap();
            check(&case, &path.display().to_string());
            compared += 1;
        }
    }
    assert!(compared > 0, "no file of boxes in {}", folder.display());
}
