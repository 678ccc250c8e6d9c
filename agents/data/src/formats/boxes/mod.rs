//! Pictures with boxes around objects: one data set, whatever form the boxes are written in.
//!
//! To add a form: a file here whose `read` gives [`Annotated`] pictures, and a variant of [`Format`]. What is wrong goes
//! to [`Troubles`], so that a user sees all of it at once.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;
use thorndike_core::{Error, Kind, Result};

use super::picture::{self, Fit, Pictures, Unlabelled, size_of};
use super::{damaged, image_space, shortened, some_of};
use crate::boxes::{Bounds, Letterbox, area, clipped};
use crate::{DataSet, Info, Object, Part, Sample, Target, Task};

mod coco;
pub(super) mod components;
mod voc;
mod yolo;

/// Pictures with boxes. What lies outside the picture is cut off.
///
/// | kind | boxes | pictures | parts |
/// |---|---|---|---|
/// | `voc` | `Annotations/NAME.xml`, or beside the picture | `JPEGImages/`, `images/`, or beside | `train.txt`, `val.txt`, `test.txt`, in `path` or `ImageSets/Main/`: a name a line |
/// | `coco` | `train.json`, `val.json`, `test.json`, or `instances_train.json` .., in `path` or `annotations/` | `images/train/`, `train/`, `images/`, or `path` | a file each |
/// | `yolo` | `labels/NAME.txt`, or beside the picture: class, middle and size as shares of the picture | `images/` | folders `train`, `val`, `test` in both or around both; or `train.txt` ..: a picture a line |
///
/// Without parts, all there is belongs to training. Edges are taken as they stand, in pixels from the upper left corner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BoxesConfig {
    /// The folder.
    pub path: PathBuf,
    /// Height and width that every picture is fitted into, with its proportions kept and grey around it. Without it, all
    /// pictures have to be of one size.
    pub size: Option<[usize; 2]>,
    /// 1: grey; 3: red, green, blue.
    pub channels: usize,
    /// Names of the classes, in their order. Empty: those of the training part in alphabetical order (`voc`), as the file
    /// has them in order of their numbers (`coco`), or from `classes.txt` or a file that ends in `.names` (`yolo`).
    pub classes: Vec<String>,
    /// Bytes of decoded and resized pixels that are kept in memory.
    pub cache_bytes: usize,
    /// Leave out boxes and pictures that are bad, instead of stopping with a list of them.
    pub skip_damaged: bool,
}

impl Default for BoxesConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            size: None,
            channels: 3,
            classes: Vec::new(),
            cache_bytes: 512_000_000,
            skip_damaged: false,
        }
    }
}

impl BoxesConfig {
    pub(crate) fn check(&self) -> Result<()> {
        picture::check(self.channels, self.size)?;
        let unique: BTreeSet<&String> = self.classes.iter().collect();
        if unique.len() < self.classes.len() {
            return Err(Error::config("classes", "a name stands there twice"));
        }
        Ok(())
    }
}

/// The form that boxes are written in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Format {
    Voc,
    Coco,
    Yolo,
}

/// A picture and the boxes that its label has.
#[derive(Debug)]
struct Annotated {
    picture: PathBuf,
    /// The file that the boxes stand in.
    label: Arc<Path>,
    /// Height and width as the label has them, and the line.
    size: Option<([f64; 2], usize)>,
    boxes: Vec<Marked>,
}

/// A box as it is written.
#[derive(Debug)]
struct Marked {
    class: String,
    edges: Edges,
    crowd: bool,
    line: usize,
}

#[derive(Clone, Copy, Debug)]
enum Edges {
    /// Left, upper, right, lower edge in pixels.
    Pixels([f64; 4]),
    /// Middle across and down, width and height, as shares of the picture.
    Shares([f64; 4]),
}

/// Pictures of one part.
struct Annotations {
    /// Names of all classes.
    names: Vec<String>,
    pictures: Vec<Annotated>,
}

/// What is wrong with annotations, for people.
#[derive(Debug, Default)]
struct Troubles {
    /// The first of them.
    shown: Vec<String>,
    count: usize,
}

impl Troubles {
    const SHOWN: usize = 20;

    /// `line` from 1.
    fn add(&mut self, path: &Path, line: impl Into<Option<usize>>, what: impl Display) {
        self.count += 1;
        if self.shown.len() < Self::SHOWN {
            let place = match line.into() {
                Some(line) => format!(", line {line}"),
                None => String::new(),
            };
            self.shown
                .push(format!("{}{place}: {what}", path.display()));
        }
    }

    fn list(&self) -> String {
        let more = match self.count - self.shown.len() {
            0 => String::new(),
            more => format!("\n  and {more} more"),
        };
        format!("  {}{more}", self.shown.join("\n  "))
    }
}

pub(crate) fn open(
    format: Format,
    config: &BoxesConfig,
    part: Part,
) -> Result<Option<Arc<dyn DataSet>>> {
    let mut troubles = Troubles::default();
    let read = match format {
        Format::Voc => voc::read(config, part, &mut troubles),
        Format::Coco => coco::read(config, part, &mut troubles),
        Format::Yolo => yolo::read(config, part, &mut troubles),
    };
    let Some(annotations) = read? else {
        return Ok(None);
    };
    Ok(Some(Arc::new(Boxes::new(config, annotations, troubles)?)))
}

/// Pictures as the model of `info` reads them.
pub(crate) fn unlabelled(info: &Info, path: &Path) -> Result<Arc<dyn DataSet>> {
    Ok(Arc::new(Unlabelled::open(
        info,
        path,
        Fit::Letterbox,
        |_| false,
    )?))
}

/// Names of the parts, as files and folders are called.
fn part_names(part: Part) -> &'static [&'static str] {
    match part {
        Part::Train => &["train"],
        Part::Validation => &["val", "valid"],
        Part::Test => &["test"],
    }
}

/// Whether `path` has parts, as far as `is_there` knows: files or folders of any of their names.
fn has_parts(is_there: impl Fn(&str) -> bool) -> bool {
    let all = [Part::Train, Part::Validation, Part::Test];
    all.into_iter()
        .any(|part| part_names(part).iter().any(|name| is_there(name)))
}

/// The most bytes of a file of text: more than any list of annotations has.
const MAX_TEXT: u64 = 2 << 30;

/// A text file as a whole.
fn text_of(path: &Path) -> Result<String> {
    let length = std::fs::metadata(path).map_err(Error::io(path))?.len();
    if length > MAX_TEXT {
        let what = format!("{length} bytes are more than a file of annotations has");
        return Err(damaged(path, what));
    }
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        damaged(path, format!("byte {at}: it is no text in UTF-8"))
    })
}

/// Why a file cannot be read, without its name.
fn reason(error: &Error) -> String {
    match error {
        Error::Io { reason, .. } => reason.to_string(),
        other => other.to_string(),
    }
}

/// Pictures with boxes.
#[derive(Debug)]
pub(super) struct Boxes {
    info: Info,
    pictures: Pictures,
    channels: usize,
    frames: Vec<Letterbox>,
    /// Bounds in pixels of the input.
    objects: Vec<Vec<Object>>,
    notes: Vec<String>,
}

impl Boxes {
    fn new(config: &BoxesConfig, annotations: Annotations, mut troubles: Troubles) -> Result<Self> {
        let Annotations { names, pictures } = annotations;
        let (mut files, mut sizes, mut objects) = (Vec::new(), Vec::new(), Vec::new());
        let mut clipped = 0;
        for annotated in pictures {
            let Some(size) = size_of_picture(&annotated, &mut troubles) else {
                continue;
            };
            let mut of_picture = Vec::with_capacity(annotated.boxes.len());
            for marked in &annotated.boxes {
                match marked.object(&names, size) {
                    Ok((object, whole)) => {
                        of_picture.push(object);
                        clipped += usize::from(!whole);
                    }
                    Err(what) => troubles.add(&annotated.label, marked.line, what),
                }
            }
            files.push(annotated.picture);
            sizes.push(size);
            objects.push(of_picture);
        }
        let mut notes = Vec::new();
        if clipped > 0 {
            notes.push(format!(
                "{clipped} boxes reached out of their pictures and were cut off"
            ));
        }
        if troubles.count > 0 {
            let (n, list) = (troubles.count, troubles.list());
            let bad = if n == 1 {
                "bad annotation"
            } else {
                "bad annotations"
            };
            if !config.skip_damaged {
                let what = format!(
                    "{n} {bad}; mend them, or leave them out with skip_damaged = true\n{list}"
                );
                return Err(damaged(&config.path, what));
            }
            notes.push(format!("{n} {bad} left out:\n{list}"));
        }
        if files.is_empty() {
            return Err(damaged(&config.path, "there is no annotated picture in it"));
        }
        if names.is_empty() {
            return Err(damaged(
                &config.path,
                "no box has a class; give the names with classes",
            ));
        }
        Self::of(config, names, files, &sizes, objects, notes)
    }

    /// Of `files` of `sizes`, with bounds in pixels of the pictures.
    pub(super) fn of(
        config: &BoxesConfig,
        names: Vec<String>,
        files: Vec<PathBuf>,
        sizes: &[[usize; 2]],
        mut objects: Vec<Vec<Object>>,
        notes: Vec<String>,
    ) -> Result<Self> {
        let other = sizes.iter().position(|size| *size != sizes[0]);
        let size @ [height, width] = match (config.size, other) {
            (Some(size), _) => size,
            (None, None) => sizes[0],
            (None, Some(other)) => {
                let what = format!(
                    "{} is of {:?} pixels and {} of {:?}; give the height and width to fit them into, such as [320, 320]",
                    files[0].display(),
                    sizes[0],
                    files[other].display(),
                    sizes[other],
                );
                return Err(Error::config("size", what));
            }
        };
        let frames: Vec<Letterbox> = sizes.iter().map(|&of| Letterbox::new(of, size)).collect();
        for (objects, frame) in objects.iter_mut().zip(&frames) {
            for object in objects {
                object.bounds = frame.apply(object.bounds);
            }
        }
        let info = Info {
            space: image_space(config.channels, height, width),
            scalar: Kind::U8,
            task: Task::Boxes { names },
            vocabulary: Vec::new(),
            encoding: json!({ "letterbox": true }),
        };
        let fit = Fit::Letterbox(size);
        Ok(Self {
            info,
            pictures: Pictures::new(files, config.channels, fit, config.cache_bytes),
            channels: config.channels,
            frames,
            objects,
            notes,
        })
    }
}

/// Height and width of a picture, if it is there and of the size that its label says.
fn size_of_picture(annotated: &Annotated, troubles: &mut Troubles) -> Option<[usize; 2]> {
    let Annotated {
        picture,
        label,
        size,
        ..
    } = annotated;
    let found = match size_of(picture) {
        Ok(found) => found,
        Err(error) => {
            let what = format!("its picture {}: {}", picture.display(), reason(&error));
            troubles.add(label, None, what);
            return None;
        }
    };
    if let Some((said, line)) = *size
        && said != found.map(|n| n as f64)
    {
        let [height, width] = found;
        let what = format!(
            "says {} x {} pixels, but {} has {width} x {height}",
            said[1],
            said[0],
            picture.display()
        );
        troubles.add(label, line, what);
        return None;
    }
    Some(found)
}

impl Marked {
    /// The object in a picture of `size`, and whether all of it lies inside.
    fn object(&self, names: &[String], size: [usize; 2]) -> Result<(Object, bool), String> {
        let Some(class) = names.iter().position(|name| *name == self.class) else {
            let (class, known) = (shortened(&self.class), some_of(names));
            return Err(format!("no class is called \"{class}\"; known: {known}"));
        };
        let [height, width] = size.map(|n| n as f64);
        let edges @ [x1, y1, x2, y2] = match self.edges {
            Edges::Pixels(edges) => edges,
            Edges::Shares([x, y, w, h]) => [
                (x - w / 2.0) * width,
                (y - h / 2.0) * height,
                (x + w / 2.0) * width,
                (y + h / 2.0) * height,
            ],
        };
        if !edges
            .iter()
            .all(|edge| edge.is_finite() && edge.abs() < 1e9)
        {
            return Err(format!(
                "the box has edges at {edges:?}, which are no places"
            ));
        }
        if x2 <= x1 || y2 <= y1 {
            return Err(format!(
                "the box is {} wide and {} high; both must be above 0",
                x2 - x1,
                y2 - y1
            ));
        }
        let bounds = edges.map(|edge| edge as f32);
        let inside: Bounds = clipped(bounds, size);
        if area(inside) <= 0.0 {
            return Err(format!(
                "the box from ({x1}, {y1}) to ({x2}, {y2}) lies outside of the picture of {width} x {height}"
            ));
        }
        // Less than this comes from decimal fractions.
        let whole = (0..4).all(|i| (bounds[i] - inside[i]).abs() < 0.02);
        let object = Object {
            class,
            bounds: inside,
            crowd: self.crowd,
        };
        Ok((object, whole))
    }
}

impl DataSet for Boxes {
    fn info(&self) -> &Info {
        &self.info
    }

    fn len(&self) -> usize {
        self.objects.len()
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        let pixels = self.pictures.read(index)?;
        Ok(pixels.into_sample(self.channels, Target::Boxes(self.objects[index].clone())))
    }

    fn origin(&self, index: usize) -> String {
        self.pictures.files[index].display().to_string()
    }

    fn class(&self, _: usize) -> Result<Option<usize>> {
        Ok(None)
    }

    fn frame(&self, index: usize) -> Option<Letterbox> {
        self.frames.get(index).copied()
    }

    fn notes(&self) -> Vec<String> {
        let objects = self.objects.iter().flatten();
        let mut counts = vec![0; self.info.task.names().len()];
        objects.for_each(|object| counts[object.class] += 1);
        let names = self.info.task.names().iter().zip(&counts).take(40);
        let counts: Vec<String> = names.map(|(name, n)| format!("{name} {n}")).collect();
        let empty = self
            .objects
            .iter()
            .filter(|objects| objects.is_empty())
            .count();
        let mut notes = vec![format!(
            "{} pictures; boxes: {}",
            self.len(),
            counts.join(", ")
        )];
        if empty > 0 {
            notes.push(format!("{empty} pictures without a box"));
        }
        notes.extend(self.notes.iter().cloned());
        notes
    }
}

#[cfg(test)]
mod tests;
