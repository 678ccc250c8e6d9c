//! JSON files of COCO's form, a file for all pictures of a part.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use thorndike_core::Result;

use super::super::damaged;
use super::{Annotated, Annotations, BoxesConfig, Edges, Marked, Part, Troubles};
use super::{has_parts, part_names, text_of};

/// The lists of the file, each entry as it is written: one that is wrong does not keep the others from being read.
#[derive(Deserialize)]
struct Lists<'a> {
    #[serde(borrow)]
    images: Vec<&'a RawValue>,
    #[serde(borrow)]
    annotations: Vec<&'a RawValue>,
    #[serde(borrow)]
    categories: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Image {
    id: u64,
    file_name: String,
    width: f64,
    height: f64,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: u64,
    category_id: u64,
    bbox: [f64; 4],
    #[serde(default)]
    iscrowd: u8,
}

#[derive(Deserialize)]
struct Category {
    id: u64,
    name: String,
}

pub(super) fn read(
    config: &BoxesConfig,
    part: Part,
    troubles: &mut Troubles,
) -> Result<Option<Annotations>> {
    let Some((file, folders)) = file_of(&config.path, part)? else {
        return Ok(None);
    };
    let text = text_of(&file)?;
    let lists: Lists<'_> = serde_json::from_str(&text).map_err(|e| {
        let what = format!("no JSON of COCO's form: {e}");
        damaged(&file, what)
    })?;
    let label: Arc<Path> = Arc::from(&*file);
    let mut categories: Vec<Category> = Vec::new();
    let mut places = Places::new(&text);
    for raw in &lists.categories {
        match serde_json::from_str::<Category>(raw.get()) {
            Ok(category) => categories.push(category),
            Err(error) => troubles.add(&file, places.line(raw), wrong("category", &error)),
        }
    }
    categories.sort_by_key(|category| category.id);
    let names = match config.classes.is_empty() {
        true => categories
            .iter()
            .map(|category| category.name.clone())
            .collect(),
        false => config.classes.clone(),
    };
    let names_of: HashMap<u64, &str> = categories.iter().map(|c| (c.id, &*c.name)).collect();
    let mut pictures: Vec<Annotated> = Vec::new();
    let mut of_image: HashMap<u64, usize> = HashMap::new();
    let mut places = Places::new(&text);
    for raw in &lists.images {
        let line = places.line(raw);
        let image = match serde_json::from_str::<Image>(raw.get()) {
            Ok(image) => image,
            Err(error) => {
                troubles.add(&file, line, wrong("image", &error));
                continue;
            }
        };
        if of_image.insert(image.id, pictures.len()).is_some() {
            let what = format!("the id {} stands for two images", image.id);
            troubles.add(&file, line, what);
        }
        let name = Path::new(&image.file_name);
        let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
        if !name.components().all(inside) {
            let name = super::shortened(&image.file_name);
            troubles.add(
                &file,
                line,
                format!("the picture {name} is not below the folder"),
            );
            continue;
        }
        let mut candidates = folders.iter().map(|folder| folder.join(name));
        let picture = candidates.find(|place| place.is_file());
        let picture = picture.unwrap_or_else(|| folders[0].join(name));
        pictures.push(Annotated {
            picture,
            label: label.clone(),
            size: Some(([image.height, image.width], line)),
            boxes: Vec::new(),
        });
    }
    let mut places = Places::new(&text);
    for raw in &lists.annotations {
        let line = places.line(raw);
        let annotation = match serde_json::from_str::<Annotation>(raw.get()) {
            Ok(annotation) => annotation,
            Err(error) => {
                troubles.add(&file, line, wrong("annotation", &error));
                continue;
            }
        };
        let Annotation {
            image_id,
            category_id,
            bbox: [x, y, w, h],
            iscrowd,
        } = annotation;
        let Some(&image) = of_image.get(&image_id) else {
            troubles.add(&file, line, format!("no image has the id {image_id}"));
            continue;
        };
        let Some(name) = names_of.get(&category_id) else {
            troubles.add(&file, line, format!("no category has the id {category_id}"));
            continue;
        };
        pictures[image].boxes.push(Marked {
            class: (*name).to_owned(),
            edges: Edges::Pixels([x, y, x + w, y + h]),
            crowd: iscrowd == 1,
            line,
        });
    }
    Ok(Some(Annotations { names, pictures }))
}

fn wrong(what: &str, error: &serde_json::Error) -> String {
    // The place that the parser gives is counted from the start of the entry.
    let error = error.to_string();
    let error = error.split(" at line ").next().unwrap_or_default();
    format!("bad {what}: {error}")
}

/// Finds lines of entries; they are asked for in their order.
struct Places<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl<'a> Places<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            line: 1,
        }
    }

    fn line(&mut self, raw: &RawValue) -> usize {
        // An entry is a piece of the text.
        let at = (raw.get().as_ptr() as usize) - (self.text.as_ptr() as usize);
        let between = &self.text.as_bytes()[self.at..at];
        self.line += between.iter().filter(|&&byte| byte == b'\n').count();
        self.at = at;
        self.line
    }
}

/// The file of a part, and folders where its pictures may be.
fn file_of(path: &Path, part: Part) -> Result<Option<(PathBuf, Vec<PathBuf>)>> {
    if path.is_file() {
        let folder = path.parent().unwrap_or(path).to_owned();
        let found = (path.to_owned(), vec![folder.join("images"), folder]);
        return Ok((part == Part::Train).then_some(found));
    }
    let file = |name: &str| {
        [
            format!("{name}.json"),
            format!("instances_{name}.json"),
            format!("annotations/{name}.json"),
            format!("annotations/instances_{name}.json"),
            format!("annotations/instances_{name}2017.json"),
            format!("{name}/_annotations.coco.json"),
        ]
        .into_iter()
        .map(|file| path.join(file))
        .find(|file| file.is_file())
    };
    let folders = |name: &str| {
        let places = [
            format!("images/{name}"),
            name.to_owned(),
            format!("{name}2017"),
        ];
        let places = places.into_iter().map(|place| path.join(place));
        let mut all: Vec<PathBuf> = places.filter(|place| place.is_dir()).collect();
        all.extend([path.join("images"), path.to_owned()]);
        all
    };
    for name in part_names(part) {
        if let Some(file) = file(name) {
            return Ok(Some((file, folders(name))));
        }
    }
    if part != Part::Train {
        return Ok(None);
    }
    if has_parts(|name| file(name).is_some()) {
        let what = "there is no train.json in it, but one of val or test";
        return Err(damaged(path, what));
    }
    let whole = [
        "annotations.json",
        "instances.json",
        "annotations/annotations.json",
    ];
    let whole = whole.into_iter().map(|file| path.join(file));
    match whole.into_iter().find(|file| file.is_file()) {
        Some(file) => Ok(Some((file, folders("train")))),
        None => Err(damaged(
            path,
            "expected train.json, annotations/instances_train.json or annotations.json in it",
        )),
    }
}
