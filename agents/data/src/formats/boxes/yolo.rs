//! Text files as YOLO has them: a file a picture, a box a line.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thorndike_core::{Error, Result};

use super::super::damaged;
use super::super::picture::{entries, pictures_in};
use super::{Annotated, Annotations, BoxesConfig, Edges, Marked, Part, Troubles};
use super::{has_parts, part_names, reason, text_of};

pub(super) fn read(
    config: &BoxesConfig,
    part: Part,
    troubles: &mut Troubles,
) -> Result<Option<Annotations>> {
    let path = &config.path;
    let Some(files) = pictures_of(path, part, troubles)? else {
        return Ok(None);
    };
    let names = match config.classes.is_empty() {
        true => names_in(path)?,
        false => config.classes.clone(),
    };
    let mut pictures = Vec::with_capacity(files.len());
    let mut labels = 0;
    for picture in files {
        let label = label_of(&picture);
        let mut boxes = Vec::new();
        // A picture without anything in it has no label.
        if label.is_file() {
            labels += 1;
            match text_of(&label) {
                Ok(text) => {
                    for (i, line) in text
                        .lines()
                        .enumerate()
                        .filter(|(_, l)| !l.trim().is_empty())
                    {
                        match marked(line, i + 1, &names) {
                            Ok(marked) => boxes.push(marked),
                            Err(what) => troubles.add(&label, i + 1, what),
                        }
                    }
                }
                Err(error) => troubles.add(&label, None, reason(&error)),
            }
        }
        pictures.push(Annotated {
            picture,
            label: Arc::from(label),
            size: None,
            boxes,
        });
    }
    if labels == 0
        && let Some(first) = pictures.first()
    {
        let what = format!(
            "none of its {} pictures has a label; expected {}",
            pictures.len(),
            first.label.display()
        );
        return Err(damaged(path, what));
    }
    Ok(Some(Annotations { names, pictures }))
}

/// A line: class, middle across and down, width and height.
fn marked(line: &str, number: usize, names: &[String]) -> Result<Marked, String> {
    let fields: Vec<&str> = line.split_whitespace().take(6).collect();
    let &[class, x, y, w, h] = fields.as_slice() else {
        let found = line.split_whitespace().count();
        return Err(format!(
            "expected a class and 4 numbers, found {found} fields"
        ));
    };
    let class: usize = class.parse().map_err(|_| {
        let class = super::shortened(class);
        format!("the class is \"{class}\", expected a number from 0 on")
    })?;
    let Some(name) = names.get(class) else {
        let last = names.len().saturating_sub(1);
        return Err(format!("the class is {class}, expected 0 to {last}"));
    };
    let mut shares = [0.0_f64; 4];
    for (share, text) in shares.iter_mut().zip([x, y, w, h]) {
        *share = text.parse().map_err(|_| {
            let text = super::shortened(text);
            format!("\"{text}\" is no number")
        })?;
    }
    if let Some(share) = shares.iter().find(|share| share.abs() > 2.0) {
        return Err(format!(
            "{share} is no share of the picture; expected 0 to 1"
        ));
    }
    Ok(Marked {
        class: name.clone(),
        edges: Edges::Shares(shares),
        crowd: false,
        line: number,
    })
}

/// The pictures of a part.
fn pictures_of(path: &Path, part: Part, troubles: &mut Troubles) -> Result<Option<Vec<PathBuf>>> {
    let list = |name: &str| Some(path.join(format!("{name}.txt"))).filter(|list| list.is_file());
    let folder = |name: &str| {
        [
            format!("images/{name}"),
            format!("{name}/images"),
            name.to_owned(),
        ]
        .into_iter()
        .map(|folder| path.join(folder))
        .find(|folder| folder.is_dir())
    };
    for name in part_names(part) {
        if let Some(list) = list(name) {
            let mut files = Vec::new();
            for (i, line) in text_of(&list)?.lines().enumerate() {
                let name = line.trim();
                if name.is_empty() {
                    continue;
                }
                let file = path.join(name.strip_prefix("./").unwrap_or(name));
                match file.is_file() {
                    true => files.push(file),
                    false => {
                        let what = format!("there is no picture {}", file.display());
                        troubles.add(&list, i + 1, what);
                    }
                }
            }
            return Ok(Some(files));
        }
        if let Some(folder) = folder(name) {
            return pictures_in(&folder).map(Some);
        }
    }
    if part != Part::Train {
        return Ok(None);
    }
    if has_parts(|name| list(name).is_some() || folder(name).is_some()) {
        return Err(damaged(
            path,
            "there is no part train in it, but one of val or test",
        ));
    }
    let inner = path.join("images");
    pictures_in(if inner.is_dir() { &inner } else { path }).map(Some)
}

/// The label of a picture: with `labels` for the last `images` of its path, or beside it.
fn label_of(picture: &Path) -> PathBuf {
    let beside = picture.with_extension("txt");
    let parts: Vec<&OsStr> = beside.iter().collect();
    let Some(images) = parts.iter().rposition(|part| *part == "images") else {
        return beside;
    };
    let swap = |(i, part): (usize, &&OsStr)| match i == images {
        true => PathBuf::from("labels"),
        false => PathBuf::from(part),
    };
    let apart: PathBuf = parts.iter().enumerate().map(swap).collect();
    if beside.is_file() && !apart.is_file() {
        return beside;
    }
    apart
}

/// Names of the classes, from the file that lies with the pictures.
fn names_in(path: &Path) -> Result<Vec<String>> {
    let is_list = |file: &Path| {
        let name = file.file_name().and_then(OsStr::to_str).unwrap_or_default();
        file.is_file() && (name == "classes.txt" || name.ends_with(".names"))
    };
    let file = entries(path)?.into_iter().find(|file| is_list(file));
    let Some(file) = file else {
        let what = "give the names: there is no classes.txt and no file that ends in .names";
        return Err(Error::config("classes", what));
    };
    let text = text_of(&file)?;
    let names: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
    // Numbers count lines; only at the end may there be empty ones.
    let end = names
        .iter()
        .rposition(|name| !name.is_empty())
        .map_or(0, |last| last + 1);
    if let Some(empty) = names[..end].iter().position(String::is_empty) {
        return Err(damaged(
            &file,
            format!("line {}: expected a name", empty + 1),
        ));
    }
    Ok(names[..end].to_vec())
}
