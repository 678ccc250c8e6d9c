//! What a detector has found: as COCO's JSON, on pictures, and beside what is there.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};
use thorndike_core::Picture;
use thorndike_data::boxes::{Bounds, Letterbox, iou};
use thorndike_data::{DataSet, Detection, Gathered, Object, Scores};

use crate::plot::boxes::{Labelled, with_boxes};
use crate::plot::scored::{Entry, picture, sheet};

/// Detections that are less sure are not drawn, and miss what they are on.
pub(crate) const SHOWN_FROM: f32 = 0.25;
/// Intersection over union from which on an object counts as found.
const FOUND_FROM: f32 = 0.5;
/// Pictures on a sheet.
const ON_SHEET: usize = 8;

/// Detections in the form of COCO's results, with the names of picture and class: categories are numbered from 1 on in
/// the order of `names`, pictures from 1 on in their own.
pub(crate) fn coco_results(pictures: &[(String, Vec<Detection>)], names: &[String]) -> Value {
    let each = pictures.iter().enumerate().flat_map(|(i, (file, found))| {
        found.iter().map(move |found| {
            let [x1, y1, x2, y2] = found.bounds;
            json!({
                "image_id": i + 1,
                "file_name": file,
                "category_id": found.class + 1,
                "category": names[found.class],
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "score": found.score,
            })
        })
    });
    each.collect()
}

/// Draws what was found and is sure enough, the surest on top.
///
/// # Errors
/// If text cannot be drawn.
pub(crate) fn drawn(
    picture: &Picture,
    detections: &[Detection],
    names: &[String],
) -> Result<Picture> {
    let mut shown: Vec<&Detection> = detections
        .iter()
        .filter(|found| found.score >= SHOWN_FROM)
        .collect();
    shown.sort_by(|a, b| a.score.total_cmp(&b.score));
    let labelled = |found: &&Detection| Labelled {
        bounds: found.bounds,
        class: found.class,
        label: format!("{} {:.0} %", names[found.class], 100.0 * found.score),
    };
    with_boxes(picture, &shown.iter().map(labelled).collect::<Vec<_>>())
}

/// Places of the objects that no sure detection of their class lies on; each detection finds one object, the surest
/// first. Crowds need not be found.
pub(crate) fn missed(objects: &[Object], detections: &[Detection]) -> Vec<usize> {
    let mut order: Vec<&Detection> = detections
        .iter()
        .filter(|found| found.score >= SHOWN_FROM)
        .collect();
    order.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut left: Vec<usize> = (0..objects.len()).filter(|&i| !objects[i].crowd).collect();
    for found in order {
        let mut best: Option<(usize, f32)> = None;
        for (place, &i) in left.iter().enumerate() {
            let overlap = iou(found.bounds, objects[i].bounds);
            let of_class = objects[i].class == found.class && overlap >= FOUND_FROM;
            if of_class && best.is_none_or(|(_, most)| overlap > most) {
                best = Some((place, overlap));
            }
        }
        if let Some((place, _)) = best {
            left.remove(place);
        }
    }
    left
}

/// Draws sheets of the pictures that went best, worst, and where most objects were missed, each with what is there beside
/// what was found; gives the files.
///
/// # Errors
/// If a picture cannot be read, or a file not be written.
pub(crate) fn sheets(
    title: &str,
    set: &dyn DataSet,
    scores: &Scores,
    dir: &Path,
) -> Result<Vec<PathBuf>> {
    let Gathered::Boxes {
        samples,
        objects,
        detections,
        ..
    } = &scores.gathered
    else {
        return Ok(Vec::new());
    };
    let names = set.info().task.names();
    let coco = scores.coco().expect("boxes were gathered");
    let ap: Vec<f64> = (0..samples.len()).map(|i| coco.ap_of(&[i])[1]).collect();
    let missed: Vec<Vec<usize>> = (0..samples.len())
        .map(|i| missed(&objects[i], &detections[i]))
        .collect();
    // Of a picture without objects nothing can be said.
    let known: Vec<usize> = (0..ap.len()).filter(|&i| !ap[i].is_nan()).collect();
    let sorted = |by: &dyn Fn(&usize, &usize) -> std::cmp::Ordering| {
        let mut order = known.clone();
        order.sort_by(by); // stable: of equals the first
        order
    };
    let mut most = sorted(&|&a, &b| missed[b].len().cmp(&missed[a].len()));
    most.retain(|&i| !missed[i].is_empty());
    let kinds = [
        (
            "best",
            "the best pictures",
            sorted(&|&a, &b| ap[b].total_cmp(&ap[a])),
        ),
        (
            "worst",
            "the worst pictures",
            sorted(&|&a, &b| ap[a].total_cmp(&ap[b])),
        ),
        ("missed", "most objects missed", most),
    ];
    let mut files = Vec::new();
    for (name, what, order) in kinds {
        let mut entries = Vec::new();
        for &i in order.iter().take(ON_SHEET) {
            let Some(shown) = picture(&set.sample(samples[i])?) else {
                return Ok(files);
            };
            let frame = set.frame(samples[i]);
            let shown = frame.map_or(shown.clone(), |frame| cut_out(&shown, frame));
            let fit = |bounds| fitted(bounds, frame);
            let truth = objects[i].iter().enumerate().map(|(at, object)| Labelled {
                bounds: fit(object.bounds),
                class: object.class,
                label: match (name, missed[i].contains(&at)) {
                    ("missed", true) => format!("missed: {}", names[object.class]),
                    ("missed", false) => String::new(),
                    _ => names[object.class].clone(),
                },
            });
            let truth: Vec<Labelled> = truth.collect();
            let found: Vec<Detection> = detections[i]
                .iter()
                .map(|found| Detection {
                    bounds: fit(found.bounds),
                    ..*found
                })
                .collect();
            entries.push(Entry {
                pictures: vec![with_boxes(&shown, &truth)?, drawn(&shown, &found, names)?],
                lines: [
                    format!(
                        "AP50 {:.3}; {} of {} objects missed",
                        ap[i],
                        missed[i].len(),
                        objects[i].iter().filter(|object| !object.crowd).count()
                    ),
                    format!(
                        "left: what is there; right: what was found, from {:.0} % on",
                        100.0 * SHOWN_FROM
                    ),
                ],
            });
        }
        if !entries.is_empty() {
            let path = dir.join(format!("detections_{name}.png"));
            sheet(&format!("{title}: {what}"), &entries, 2, &path)?;
            files.push(path);
        }
    }
    Ok(files)
}

/// The part of an input that the picture covers.
fn cut_out(input: &Picture, frame: Letterbox) -> Picture {
    let [height, width] = frame.inner;
    let [top, left] = frame.start;
    let rows = (top..top + height).flat_map(|y| {
        let start = 3 * (y * input.width as usize + left);
        input.rgb[start..start + 3 * width].iter().copied()
    });
    Picture {
        width: width as u32,
        height: height as u32,
        rgb: rows.collect(),
    }
}

/// Bounds in [`cut_out`] of a box in the picture itself.
fn fitted(bounds: Bounds, frame: Option<Letterbox>) -> Bounds {
    let Some(frame) = frame else {
        return bounds;
    };
    let [top, left] = frame.start.map(|n| n as f32);
    let [x1, y1, x2, y2] = frame.apply(bounds);
    [x1 - left, y1 - top, x2 - left, y2 - top]
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::drawn::{Order, Set};
    use thorndike_data::{
        Batch, BoxesConfig, Part, Prediction, Scorer, SourceConfig, Targets, read_picture,
    };

    fn found(class: usize, score: f32, x: f32) -> Detection {
        Detection {
            class,
            score,
            bounds: [x, 0.0, x + 10.0, 10.0],
        }
    }

    fn there(class: usize, x: f32) -> Object {
        Object::new(class, [x, 0.0, x + 10.0, 10.0])
    }

    #[test]
    fn what_no_sure_detection_of_its_class_lies_on_is_missed() {
        let objects = [
            there(0, 0.0),
            there(0, 30.0),
            there(1, 60.0),
            there(0, 90.0),
        ];
        let detections = [
            found(0, 0.9, 1.0),
            found(0, 0.8, 0.0),  // a second time the same
            found(0, 0.9, 60.0), // another class
            found(0, 0.2, 90.0), // not sure
            found(0, 0.9, 37.0), // too far off
        ];
        assert_eq!(missed(&objects, &detections), [1, 2, 3]);
    }

    #[test]
    fn sheets_show_what_is_there_beside_what_was_found() {
        let folder = tempfile::tempdir().unwrap();
        let stop = AtomicBool::new(false);
        let order = Order::new(Set::ShapesBoxes, 1, Some(40), None, None).unwrap();
        let place = order
            .place(&folder.path().join("set"), false, &stop)
            .unwrap();
        order.draw(place).unwrap();
        let config = BoxesConfig {
            path: folder.path().join("set"),
            size: Some([96, 128]),
            ..BoxesConfig::default()
        };
        let set = SourceConfig::Coco(config)
            .open(Part::Test)
            .unwrap()
            .unwrap();
        // All but the first object of each picture are found.
        let mut scorer = Scorer::new(set.clone());
        for i in 0..set.len() {
            let batch = Batch::collate(vec![(i, set.sample(i).unwrap())]).unwrap();
            let Targets::Boxes(objects) = &batch.targets else {
                panic!("boxes")
            };
            let found = objects[0].iter().skip(1).map(|object| Detection {
                class: object.class,
                score: 0.9,
                bounds: object.bounds,
            });
            let prediction = Prediction::of_detections(&[found.collect()], 0.0, 1);
            scorer.add(&batch, &prediction);
        }
        let files = sheets("shapes", &*set, &scorer.finish(), folder.path()).unwrap();
        let names = files
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap());
        let expected = ["best", "worst", "missed"].map(|name| format!("detections_{name}.png"));
        assert!(names.eq(expected.iter()));
        for file in files {
            assert!(read_picture(&file).unwrap().width > 600);
        }
    }

    #[test]
    fn results_are_in_the_form_of_coco() {
        let names = ["RBC".to_owned(), "WBC".to_owned()];
        let pictures = [
            ("a.jpg".to_owned(), vec![]),
            ("b.jpg".to_owned(), vec![found(1, 0.5, 3.0)]),
        ];
        let expected = json!([{
            "image_id": 2, "file_name": "b.jpg", "category_id": 2, "category": "WBC",
            "bbox": [3.0, 0.0, 10.0, 10.0], "score": 0.5,
        }]);
        assert_eq!(coco_results(&pictures, &names), expected);
    }
}
