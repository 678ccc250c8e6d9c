use std::fs;

use image::RgbImage;

use super::*;
use crate::formats::tests::real;
use crate::{
    Augment, Batch, Detection, Loader, LoaderConfig, Mosaic, Prediction, Scorer, SourceConfig,
    Targets, Values,
};
use thorndike_core::Seeds;

fn put(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// 8 wide, 4 high, white.
fn picture(folder: &Path, name: &str) {
    put(folder, name, "");
    RgbImage::from_pixel(8, 4, image::Rgb([255; 3]))
        .save(folder.join(name))
        .unwrap();
}

fn object(name: &str, edges: [f64; 4]) -> String {
    let [x1, y1, x2, y2] = edges;
    format!(
        "<object><name>{name}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>\n"
    )
}

fn annotation(objects: &[String]) -> String {
    let objects = objects.concat();
    format!(
        "<annotation>\n<size><width>8</width><height>4</height></size>\n{objects}</annotation>\n"
    )
}

fn config(path: &Path) -> BoxesConfig {
    BoxesConfig {
        path: path.to_owned(),
        ..BoxesConfig::default()
    }
}

fn train(format: Format, config: &BoxesConfig) -> Result<Arc<dyn DataSet>> {
    Ok(open(format, config, Part::Train)?.unwrap())
}

fn objects(set: &dyn DataSet, index: usize) -> Vec<Object> {
    match set.sample(index).unwrap().target {
        Target::Boxes(objects) => objects,
        other => panic!("{other:?}"),
    }
}

/// One picture `a` with a dog at 1, 1, 3, 2 and a cat at 4, 0, 8, 4, in each form.
fn same_in(format: Format) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    match format {
        Format::Voc => {
            picture(path, "JPEGImages/a.png");
            let objects = [
                object("dog", [1.0, 1.0, 3.0, 2.0]),
                object("cat", [4.0, 0.0, 8.0, 4.0]),
            ];
            put(path, "Annotations/a.xml", &annotation(&objects));
        }
        Format::Coco => {
            picture(path, "images/a.png");
            put(
                path,
                "annotations.json",
                r#"{"images": [{"id": 7, "file_name": "a.png", "width": 8, "height": 4}],
                "categories": [{"id": 3, "name": "dog"}, {"id": 2, "name": "cat"}],
                "annotations": [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 1, 2, 1], "iscrowd": 0},
                {"id": 2, "image_id": 7, "category_id": 2, "bbox": [4, 0, 4, 4]}]}"#,
            );
        }
        Format::Yolo => {
            picture(path, "images/a.png");
            put(path, "classes.txt", "cat\ndog\n\n");
            put(
                path,
                "labels/a.txt",
                "1 0.25 0.375 0.25 0.25\n0 0.75 0.5 0.5 1\n",
            );
        }
    }
    folder
}

#[test]
fn three_forms_of_the_same_boxes_are_the_same_set() {
    for format in [Format::Voc, Format::Coco, Format::Yolo] {
        let folder = same_in(format);
        let set = train(format, &config(folder.path())).unwrap();
        assert_eq!(set.info().task.names(), ["cat", "dog"], "{format:?}");
        assert_eq!(set.info().space, image_space(3, 4, 8));
        let expected = [
            Object::new(1, [1.0, 1.0, 3.0, 2.0]),
            Object::new(0, [4.0, 0.0, 8.0, 4.0]),
        ];
        assert_eq!(objects(&*set, 0), expected, "{format:?}");
        assert_eq!(set.notes(), ["1 pictures; boxes: cat 1, dog 1"]);
        assert!(
            open(format, &config(folder.path()), Part::Validation)
                .unwrap()
                .is_none()
        );
    }
}

#[test]
fn pictures_are_fitted_and_boxes_go_with_them_and_back() {
    let folder = same_in(Format::Voc);
    let mut config = config(folder.path());
    (config.size, config.channels) = (Some([16, 16]), 1);
    let set = train(Format::Voc, &config).unwrap();
    let sample = set.sample(0).unwrap();
    assert_eq!(sample.shape, [1, 16, 16]);
    // Twice as large, between rows 4 and 12.
    let Values::U8(pixels) = &sample.values else {
        panic!()
    };
    let row = |y: usize| pixels[16 * y];
    assert_eq!([row(3), row(4), row(11), row(12)], [114, 255, 255, 114]);
    assert_eq!(objects(&*set, 0)[0].bounds, [2.0, 6.0, 6.0, 8.0]);
    let frame = set.frame(0).unwrap();
    assert_eq!(frame.back([2.0, 6.0, 6.0, 8.0]), [1.0, 1.0, 3.0, 2.0]);
    let source = SourceConfig::Voc(config);
    let files = folder.path().join("JPEGImages");
    let unlabelled = source.unlabelled(set.info(), &files).unwrap();
    assert_eq!(unlabelled.sample(0).unwrap().values, sample.values);
    assert_eq!(unlabelled.frame(0), Some(frame));
}

#[test]
fn what_reaches_out_is_cut_off_and_counted() {
    let folder = same_in(Format::Voc);
    let objects_of = [
        object("dog", [-1.0, 1.0, 3.0, 9.0]),
        object("cat", [0.0, 0.0, 8.0, 4.0]),
    ];
    put(folder.path(), "Annotations/a.xml", &annotation(&objects_of));
    let set = train(Format::Voc, &config(folder.path())).unwrap();
    assert_eq!(objects(&*set, 0)[0].bounds, [0.0, 1.0, 3.0, 4.0]);
    assert!(set.notes()[1].starts_with("1 boxes reached out"));
}

#[test]
fn all_that_is_wrong_is_said_at_once_with_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    picture(path, "JPEGImages/a.png");
    picture(path, "JPEGImages/b.png");
    put(
        path,
        "Annotations/a.xml",
        &annotation(&[
            object("dog", [3.0, 1.0, 1.0, 2.0]),
            object("dog", [1.0, 1.0, 1.0, 2.0]),
            object("cow", [1.0, 1.0, 2.0, 2.0]),
            object("dog", [9.0, 1.0, 12.0, 2.0]),
            "<object><name>dog</name></object>\n".to_owned(),
            object("dog", [1.0, 1.0, 2.0, 2.0]).replace("<xmin>1<", "<xmin>one<"),
            object("dog", [1.0, 1.0, 2.0, 2.0]),
        ]),
    );
    put(
        path,
        "Annotations/b.xml",
        &annotation(&[]).replace("<width>8", "<width>9"),
    );
    put(path, "Annotations/c.xml", &annotation(&[]));
    put(
        path,
        "Annotations/d.xml",
        "<annotation>\n<object></annotation>",
    );
    put(path, "train.txt", "a\nb\nnone\nc\nd\n");
    let mut config = config(path);
    config.classes = vec!["dog".to_owned()];
    let error = train(Format::Voc, &config).unwrap_err().to_string();
    for what in [
        "10 bad annotations; mend them, or leave them out with skip_damaged = true",
        "train.txt, line 3: there is no annotation",
        "a.xml, line 3: the box is -2 wide and 1 high; both must be above 0",
        "a.xml, line 4: the box is 0 wide",
        "a.xml, line 5: no class is called \"cow\"; known: dog",
        "a.xml, line 6: the box from (9, 1) to (12, 2) lies outside of the picture of 8 x 4",
        "a.xml, line 7: the object has no <bndbox>",
        "a.xml, line 8: <xmin> holds \"one\", expected a number",
        "b.xml, line 2: says 9 x 4 pixels, but ",
        "c.xml: its picture ",
        "d.xml, line 2: no XML: ",
    ] {
        assert!(error.contains(what), "{what} is not in\n{error}");
    }
    config.skip_damaged = true;
    let set = train(Format::Voc, &config).unwrap();
    assert_eq!((set.len(), objects(&*set, 0).len()), (1, 1));
    assert!(set.notes()[1].starts_with("10 bad annotations left out:\n  "));
}

#[test]
fn a_bad_entry_of_a_coco_file_is_named_by_its_line() {
    let folder = tempfile::tempdir().unwrap();
    picture(folder.path(), "train/a.png");
    put(
        folder.path(),
        "train.json",
        r#"{"images": [{"id": 1, "file_name": "a.png", "width": 8, "height": 4},
            {"id": 2, "file_name": "../a.png", "width": 8, "height": 4}],
        "categories": [{"id": 1, "name": "dog"}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 1, -2, 1]},
            {"image_id": 9, "category_id": 1, "bbox": [1, 1, 2, 1]},
            {"image_id": 1, "category_id": 4, "bbox": [1, 1, 2, 1]},
            {"image_id": 1, "category_id": 1, "bbox": [1, 1, 2]},
            {"image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 1]}]}"#,
    );
    let mut config = config(folder.path());
    let error = train(Format::Coco, &config).unwrap_err().to_string();
    for what in [
        "5 bad annotations",
        "train.json, line 2: the picture ../a.png is not below the folder",
        "train.json, line 4: the box is -2 wide",
        "train.json, line 5: no image has the id 9",
        "train.json, line 6: no category has the id 4",
        "train.json, line 7: bad annotation: invalid length 3, expected an array of length 4",
    ] {
        assert!(error.contains(what), "{what} is not in\n{error}");
    }
    config.skip_damaged = true;
    let set = train(Format::Coco, &config).unwrap();
    assert_eq!(objects(&*set, 0).len(), 1);
    put(folder.path(), "train.json", "{\"images\": [],\n oops");
    let error = train(Format::Coco, &config).unwrap_err().to_string();
    assert!(
        error.contains("no JSON of COCO's form") && error.contains("line 2"),
        "{error}"
    );
}

#[test]
fn a_bad_line_of_yolo_is_named() {
    let folder = same_in(Format::Yolo);
    put(
        folder.path(),
        "labels/a.txt",
        "2 0.5 0.5 0.1 0.1\n0 0.5 0.5 0.1\n\n0 0.5 x 0.1 0.1\n0 320 240 10 10\n0 0.5 0.5 0 0.1\n",
    );
    let error = train(Format::Yolo, &config(folder.path()))
        .unwrap_err()
        .to_string();
    for what in [
        "5 bad annotations",
        "a.txt, line 1: the class is 2, expected 0 to 1",
        "a.txt, line 2: expected a class and 4 numbers, found 4 fields",
        "a.txt, line 4: \"x\" is no number",
        "a.txt, line 5: 320 is no share of the picture",
        "a.txt, line 6: the box is 0 wide",
    ] {
        assert!(error.contains(what), "{what} is not in\n{error}");
    }
    fs::remove_file(folder.path().join("labels/a.txt")).unwrap();
    let error = train(Format::Yolo, &config(folder.path()))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("none of its 1 pictures has a label; expected"),
        "{error}"
    );
}

#[test]
fn only_the_first_twenty_are_listed() {
    let folder = same_in(Format::Yolo);
    put(folder.path(), "labels/a.txt", &"7 0 0 0 0\n".repeat(25));
    let error = train(Format::Yolo, &config(folder.path()))
        .unwrap_err()
        .to_string();
    assert_eq!(error.lines().count(), 22);
    assert!(error.ends_with("and 5 more"), "{error}");
}

#[test]
fn parts_of_yolo_are_folders_or_lists() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    put(path, "obj.names", "dog\n");
    for part in ["train", "valid"] {
        picture(path, &format!("images/{part}/a.png"));
        put(path, &format!("labels/{part}/a.txt"), "0 0.5 0.5 0.5 0.5\n");
    }
    let open = |part| open(Format::Yolo, &config(path), part).unwrap();
    assert_eq!(open(Part::Train).unwrap().len(), 1);
    let validation = open(Part::Validation).unwrap();
    assert!(validation.origin(0).contains("valid"));
    assert_eq!(objects(&*validation, 0).len(), 1);
    assert!(open(Part::Test).is_none());
    put(
        path,
        "test.txt",
        "./images/valid/a.png\nimages/train/a.png\n",
    );
    assert_eq!(open(Part::Test).unwrap().len(), 2);
}

#[test]
fn pictures_of_two_sizes_need_one_to_be_fitted_into() {
    let folder = same_in(Format::Yolo);
    RgbImage::new(3, 3)
        .save(folder.path().join("images/b.png"))
        .unwrap();
    let mut config = config(folder.path());
    let error = train(Format::Yolo, &config).unwrap_err().to_string();
    assert!(
        error.starts_with("size: ") && error.contains("of [3, 3]; give the height"),
        "{error}"
    );
    config.size = Some([6, 6]);
    assert_eq!(train(Format::Yolo, &config).unwrap().len(), 2);
}

#[test]
fn no_changed_byte_makes_a_reader_panic() {
    for format in [Format::Voc, Format::Coco, Format::Yolo] {
        let folder = same_in(format);
        let file = folder.path().join(match format {
            Format::Voc => "Annotations/a.xml",
            Format::Coco => "annotations.json",
            Format::Yolo => "labels/a.txt",
        });
        let bytes = fs::read(&file).unwrap();
        for at in 0..bytes.len() {
            for value in [b'<', b'-'] {
                let mut bytes = bytes.clone();
                bytes[at] = value;
                fs::write(&file, bytes).unwrap();
                if let Err(error) = train(format, &config(folder.path())) {
                    assert!(!error.to_string().is_empty());
                }
            }
            fs::write(&file, &bytes[..at]).unwrap();
            let _ = train(format, &config(folder.path()));
        }
    }
}

#[test]
fn blood_cells_are_read_but_for_two_boxes_without_size() {
    let Some(path) = real("bccd") else {
        return;
    };
    let mut config = config(&path);
    let error = train(Format::Voc, &config).unwrap_err().to_string();
    assert!(error.contains(": 1 bad annotation; "), "{error}");
    assert!(
        error.contains("line ") && error.contains("the box is 0 wide and 0 high"),
        "{error}"
    );
    config.skip_damaged = true;
    let mut boxes = 0;
    for (part, pictures, first) in [
        (
            Part::Train,
            205,
            "205 pictures; boxes: Platelets 209, RBC 2381, WBC 214",
        ),
        (
            Part::Validation,
            87,
            "87 pictures; boxes: Platelets 83, RBC 967, WBC 87",
        ),
    ] {
        let set = open(Format::Voc, &config, part).unwrap().unwrap();
        assert_eq!((set.len(), &*set.notes()[0]), (pictures, first));
        assert_eq!(set.sample(0).unwrap().shape, [3, 480, 640]);
        boxes += (0..3).map(|i| objects(&*set, i).len()).sum::<usize>();
    }
    assert!(boxes > 0);
}

#[test]
fn detections_are_scored_in_pixels_of_the_pictures() {
    let folder = same_in(Format::Voc);
    let mut config = config(folder.path());
    // 64 times as large.
    config.size = Some([256, 512]);
    let set = train(Format::Voc, &config).unwrap();
    let batch = Batch::collate(vec![(0, set.sample(0).unwrap())]).unwrap();
    let Targets::Boxes(truth) = &batch.targets else {
        panic!("boxes")
    };
    let found = truth[0].iter().map(|object| Detection {
        class: object.class,
        score: 0.5,
        bounds: object.bounds,
    });
    let mut scorer = Scorer::new(set.clone());
    scorer.add(
        &batch,
        &Prediction::of_detections(&[found.collect()], 0.0, 1),
    );
    let scores = scorer.finish();
    assert_eq!(scores.name, "AP50:95");
    assert!((scores.main() - 1.0).abs() < 1e-9);
    let named = scores.named();
    let value = |name| named.iter().find(|(known, _)| *known == name).map(|x| x.1);
    // 2 x 1 and 4 x 4 pixels are small, whatever they were enlarged to.
    assert!(value("AP small").is_some_and(|ap| (ap - 1.0).abs() < 1e-9));
    assert_eq!((value("AP large"), value("AP medium")), (None, None));
    assert_eq!(value("VOC AP"), Some(1.0));
    assert_eq!(scores.voc_ap(), Some(vec![1.0, 1.0]));
}

#[test]
fn mosaics_are_the_same_with_any_number_of_threads_and_end_after_their_epochs() {
    let folder = same_in(Format::Yolo);
    for (i, grey) in [30, 60, 90, 120].into_iter().enumerate() {
        RgbImage::from_pixel(8, 4, image::Rgb([grey; 3]))
            .save(folder.path().join(format!("images/b{i}.png")))
            .unwrap();
        let line = format!("{} 0.5 0.5 0.{}5 0.5\n", i % 2, i + 2);
        put(folder.path(), &format!("labels/b{i}.txt"), &line);
    }
    let mut config = config(folder.path());
    config.size = Some([16, 16]);
    let set = train(Format::Yolo, &config).unwrap();
    let load = |workers| {
        let config = LoaderConfig {
            batch_size: 3,
            mosaic: Some(Mosaic {
                epochs: Some(2),
                ..Mosaic::default()
            }),
            augment: vec![Augment::Flip { probability: 0.5 }],
            workers,
            ..LoaderConfig::default()
        };
        let mut loader = Loader::new(set.clone(), &config, Seeds::new(4)).unwrap();
        (0..6)
            .map(|_| loader.next().unwrap().batch)
            .collect::<Vec<_>>()
    };
    let alone = load(0);
    for workers in [1, 3] {
        assert!(load(workers) == alone, "{workers} workers");
    }
    // Whole pictures have grey above and below; mosaics have a picture in each quarter.
    let whole =
        |batch: &Batch| (0..batch.len()).all(|i| batch.inputs.row::<u8>(i)[..64] == [114; 64]);
    let is_whole: Vec<bool> = alone.iter().map(whole).collect();
    assert_eq!(is_whole, [false, false, false, false, true, true]);
}
