//! The XML files of Pascal VOC, a file a picture.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use roxmltree::{Document, Node};
use thorndike_core::Result;

use super::super::damaged;
use super::super::picture::entries;
use super::{Annotated, Annotations, BoxesConfig, Edges, Marked, Part, Troubles};
use super::{has_parts, part_names, reason, text_of};

pub(super) fn read(
    config: &BoxesConfig,
    part: Part,
    troubles: &mut Troubles,
) -> Result<Option<Annotations>> {
    let Some(files) = files_of(&config.path, part, troubles)? else {
        return Ok(None);
    };
    let pictures: Vec<Annotated> = files
        .iter()
        .filter_map(|file| annotated(&config.path, file, troubles))
        .collect();
    let names = if !config.classes.is_empty() {
        config.classes.clone()
    } else if part == Part::Train {
        names_of(&pictures)
    } else {
        // What is wrong there is said when that part is opened.
        let mut ignored = Troubles::default();
        let train = files_of(&config.path, Part::Train, &mut ignored)?.unwrap_or_default();
        let train = train.iter();
        let train = train.filter_map(|file| annotated(&config.path, file, &mut ignored));
        names_of(&train.collect::<Vec<_>>())
    };
    Ok(Some(Annotations { names, pictures }))
}

fn names_of(pictures: &[Annotated]) -> Vec<String> {
    let boxes = pictures.iter().flat_map(|picture| &picture.boxes);
    let names: BTreeSet<&String> = boxes.map(|marked| &marked.class).collect();
    names.into_iter().cloned().collect()
}

/// The annotations of a part.
fn files_of(path: &Path, part: Part, troubles: &mut Troubles) -> Result<Option<Vec<PathBuf>>> {
    let list = |name: &str| {
        let name = format!("{name}.txt");
        let places = [path.join(&name), path.join("ImageSets/Main").join(&name)];
        places.into_iter().find(|list| list.is_file())
    };
    if has_parts(|name| list(name).is_some()) {
        let Some(list) = part_names(part).iter().find_map(|name| list(name)) else {
            return missing_part(path, part, "train.txt");
        };
        let folder = annotations_in(path);
        let mut files = Vec::new();
        for (i, line) in text_of(&list)?.lines().enumerate() {
            // Lists of one class have 1 or -1 behind the name.
            let Some(name) = line.split_whitespace().next() else {
                continue;
            };
            let file = folder.join(format!("{name}.xml"));
            match file.is_file() {
                true => files.push(file),
                false => {
                    let what = format!("there is no annotation {}", file.display());
                    troubles.add(&list, i + 1, what);
                }
            }
        }
        return Ok(Some(files));
    }
    let folder = |name: &str| Some(path.join(name)).filter(|folder| folder.is_dir());
    let folder = if has_parts(|name| folder(name).is_some()) {
        let Some(folder) = part_names(part).iter().find_map(|name| folder(name)) else {
            return missing_part(path, part, "folder train");
        };
        folder
    } else if part == Part::Train {
        path.to_owned()
    } else {
        return Ok(None);
    };
    let mut files = entries(&annotations_in(&folder))?;
    files.retain(|file| file.extension().is_some_and(|ending| ending == "xml"));
    Ok(Some(files))
}

/// There has to be something to learn from, if there is any part.
fn missing_part<T>(path: &Path, part: Part, what: &str) -> Result<Option<T>> {
    match part {
        Part::Train => Err(damaged(
            path,
            format!("there is no {what} in it, but one of val or test"),
        )),
        _ => Ok(None),
    }
}

fn annotations_in(folder: &Path) -> PathBuf {
    let inner = folder.join("Annotations");
    if inner.is_dir() {
        inner
    } else {
        folder.to_owned()
    }
}

/// What `file` says; `None` if it is damaged.
fn annotated(path: &Path, file: &Path, troubles: &mut Troubles) -> Option<Annotated> {
    let text = match text_of(file) {
        Ok(text) => text,
        Err(error) => {
            troubles.add(file, None, reason(&error));
            return None;
        }
    };
    let document = match Document::parse(&text) {
        Ok(document) => document,
        Err(error) => {
            let line = error.pos().row as usize;
            troubles.add(file, line, format!("no XML: {error}"));
            return None;
        }
    };
    let root = document.root_element();
    let line = |node: Node<'_, '_>| document.text_pos_at(node.range().start).row as usize;
    if root.tag_name().name() != "annotation" {
        let what = format!("expected <annotation>, found <{}>", root.tag_name().name());
        troubles.add(file, line(root), what);
        return None;
    }
    let mut boxes = Vec::new();
    for object in root.children().filter(|node| node.has_tag_name("object")) {
        match marked(object, line(object)) {
            Ok(marked) => boxes.push(marked),
            Err((node, what)) => troubles.add(file, line(node), what),
        }
    }
    let size = child(root, "size").map(|size| {
        let sides = number(size, "height").and_then(|h| Ok([h, number(size, "width")?]));
        (sides, line(size))
    });
    let size = match size {
        Some((Ok(sides), line)) => Some((sides, line)),
        Some((Err((node, what)), _)) => {
            troubles.add(file, line(node), what);
            None
        }
        None => None,
    };
    Some(Annotated {
        picture: picture_of(
            path,
            file,
            child(root, "filename").and_then(|node| node.text()),
        ),
        label: Arc::from(file),
        size,
        boxes,
    })
}

/// A place in the file, and what is wrong with it.
type Wrong<'a, 'input> = (Node<'a, 'input>, String);

fn marked<'a, 'input>(object: Node<'a, 'input>, line: usize) -> Result<Marked, Wrong<'a, 'input>> {
    let missing = |name: &str| (object, format!("the object has no <{name}>"));
    let name = child(object, "name").and_then(|node| node.text());
    let name = name.map(str::trim).filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| missing("name"))?;
    let bounds = child(object, "bndbox").ok_or_else(|| missing("bndbox"))?;
    let edge = |name| number(bounds, name);
    let edges = [edge("xmin")?, edge("ymin")?, edge("xmax")?, edge("ymax")?];
    let difficult = child(object, "difficult").and_then(|node| node.text());
    Ok(Marked {
        class: name.to_owned(),
        edges: Edges::Pixels(edges),
        crowd: difficult.is_some_and(|text| text.trim() == "1"),
        line,
    })
}

fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|child| child.has_tag_name(name))
}

fn number<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Result<f64, Wrong<'a, 'input>> {
    let Some(found) = child(node, name) else {
        let own = node.tag_name().name();
        return Err((node, format!("<{own}> has no <{name}>")));
    };
    let text = found.text().unwrap_or_default().trim();
    text.parse().map_err(|_| {
        let text = super::shortened(text);
        (
            found,
            format!("<{name}> holds \"{text}\", expected a number"),
        )
    })
}

/// The picture that belongs to `file`: of the name that stands in it, or else of its own name.
fn picture_of(path: &Path, file: &Path, said: Option<&str>) -> PathBuf {
    // Only the name: what stands in a file from elsewhere must not lead out of the folder.
    let said = said.and_then(|name| Path::new(name.trim()).file_name());
    let stem = file.file_stem().unwrap_or_default();
    let beside = file.parent().unwrap_or(path);
    let around = beside.parent().unwrap_or(path);
    let folders = [
        path.join("JPEGImages"),
        path.join("images"),
        around.join("JPEGImages"),
        around.join("images"),
        beside.to_owned(),
    ];
    let endings = ["jpg", "png", "jpeg", "JPG", "PNG", "JPEG"].map(|ending| {
        let mut name = stem.to_owned();
        name.push(".");
        name.push(ending);
        name
    });
    let names: Vec<_> = said
        .into_iter()
        .chain(endings.iter().map(|n| &**n))
        .collect();
    let mut places = names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    let there = places.find(|place| place.is_file());
    there.unwrap_or_else(|| {
        let folder = folders.iter().find(|folder| folder.is_dir());
        folder.unwrap_or(&folders[4]).join(names[0])
    })
}
