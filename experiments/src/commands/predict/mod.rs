mod text;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use thorndike_core::{Registry, Seeds};
use thorndike_data::boxes::{Letterbox, clipped};
use thorndike_data::{Batch, Detection, Sample, SourceConfig, Task, letterboxed, read_picture};
use thorndike_nets::{Which, sample_next};

use super::Outcome;
use super::eval::read_config;
use super::out::{out, outln};
use crate::config::Task as Work;
use crate::detected::{SHOWN_FROM, coco_results, drawn};
use crate::film::Film;
use crate::frames::each_frame;
use crate::launch::write_whole;
use crate::plot::png;
use crate::scored::{Trained, first_seed, said, trained};

/// Let a trained model label files or texts: pictures, folders of them, tables, sentences, questions; fill masks; or go on
/// with a text
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of the experiment, such as results/fashion-mnist-900-cnn
    folder: PathBuf,
    /// Files or folders; as the data of the model are, with or without labels; of text a sample a line
    files: Vec<PathBuf>,
    /// Of a model of text: a sentence or a text, two sentences or a question and its text with a tab between them, or a text
    /// with [MASK] for words to be found
    #[arg(long, value_name = "TEXT")]
    text: Vec<String>,
    /// The model of this seed; the first one if absent
    #[arg(long)]
    seed: Option<u64>,
    /// The weights at the end instead of the best
    #[arg(long)]
    last: bool,
    /// Classes, answers or words that are shown, the likeliest first; 5 words if absent, else 1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    top: Option<u32>,
    /// Write a CSV file with all probabilities instead of printing; of a detector, a folder with drawn boxes and their JSON
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Of a model of characters: characters to go on with
    #[arg(long, value_name = "N")]
    write: Option<usize>,
    /// Of a model of characters: the text to go on from
    #[arg(long, default_value = "\n")]
    prompt: String,
    /// Of a model of characters: 0 is the likeliest one, 1 the model's own probabilities
    #[arg(long, default_value_t = 0.8)]
    temperature: f64,
    /// Of a model of characters: only so many of the likeliest ones; 0 is all
    #[arg(long, default_value_t = 0)]
    top_k: usize,
    /// Of a model of characters: seed of what is written
    #[arg(long, default_value_t = 0)]
    sample_seed: u64,
}

pub(super) fn run(args: Args, registry: &Registry) -> Outcome {
    let config = read_config(&args.folder, registry)?;
    let Work::Model(task) = &config.task else {
        let folder = args.folder.display();
        return Err(
            anyhow!("{folder} holds an agent; thorndike play {folder} shows what it does").into(),
        );
    };
    let which = match args.last {
        true => Which::Last,
        false => Which::Best,
    };
    let seed = args.seed.map_or_else(|| first_seed(&args.folder), Ok)?;
    let mut model = trained(&args.folder, Some(seed), which, config.device)?;
    if let Some(len) = args.write {
        return write(&args, &mut model, len);
    }
    if args.files.is_empty() && args.text.is_empty() {
        let what =
            "give the files to be labelled, --text for a text, or --write N to go on with one";
        return Err(anyhow!(what).into());
    }
    if let Task::Masked { .. } = model.model.info.task {
        let mut texts = args.text.clone();
        for file in &args.files {
            texts.extend(text::lines_of(file)?);
        }
        return Ok(text::fill(
            &mut model,
            &texts,
            args.top.unwrap_or(5) as usize,
        )?);
    }
    let top = args.top.unwrap_or(1) as usize;
    let given = text::file_of(&args.text)?;
    let mut files = args.files.clone();
    if !args.text.is_empty() {
        files.insert(0, given.path().to_owned());
    }
    if let Task::Boxes { .. } = model.model.info.task {
        return boxes(&args, &task.data.source, &mut model);
    }
    let names = model.model.info.task.names().to_vec();
    let mut table = String::from("sample");
    for name in &names {
        let _ = write!(table, ",\"{}\"", name.replace('"', "\"\""));
    }
    table.push('\n');
    let mut places = text::Rows {
        head: "sample,kind,text,start,end,probability\n",
        text: String::new(),
    };
    let mut is_of_places = false;
    for file in &files {
        let set = task.data.source.unlabelled(&model.model.info, file)?;
        if text::is_of_places(&model.model.info, &*set) {
            is_of_places = true;
            let out = args.out.is_some().then_some(&mut places);
            text::places(&mut model, &*set, top, out)?;
            continue;
        }
        for index in 0..set.len() {
            let batch =
                Batch::collate(vec![(index, set.sample(index)?)]).map_err(anyhow::Error::msg)?;
            let starts = index == 0 || !set.is_consecutive();
            let prediction = model.learner.predict(&batch, starts)?;
            let rows = prediction.outputs.chunks_exact(prediction.width);
            let positions = matches!(model.model.info.task, Task::Positions { .. });
            for (position, row) in rows.enumerate() {
                let mut origin = match args.text.get(index) {
                    Some(text) if file == given.path() => text.clone(),
                    _ => set.origin(index),
                };
                if positions {
                    let _ = write!(origin, " position {position}");
                }
                if args.out.is_some() {
                    let _ = write!(table, "\"{}\"", origin.replace('"', "\"\""));
                    let is_log = !matches!(model.model.info.task, Task::Numbers { .. });
                    for &value in row {
                        let value = f64::from(value);
                        let _ = write!(table, ",{}", if is_log { value.exp() } else { value });
                    }
                    table.push('\n');
                } else {
                    let words = said(&model.model.info, row, top);
                    let words: Vec<String> = words
                        .iter()
                        .map(|(name, value)| format!("{name} {value:.4}"))
                        .collect();
                    outln!("{origin}  {}", words.join("  "));
                }
            }
        }
    }
    if let Some(path) = &args.out {
        if is_of_places {
            table = places.head.to_owned() + &places.text;
        }
        write_whole(path, table.as_bytes())?;
        outln!("{}", path.display());
    }
    Ok(())
}

/// Finds objects: prints them, or writes pictures with boxes and `detections.json` into the folder `--out`. A GIF is looked
/// at frame by frame.
fn boxes(args: &Args, source: &SourceConfig, model: &mut Trained) -> Outcome {
    let mut finder = Finder {
        names: model.model.info.task.names().to_vec(),
        model,
        prints: args.out.is_none(),
        all: Vec::new(),
    };
    if let Some(folder) = &args.out {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    for file in &args.files {
        let stem = |path: &Path| path.file_stem().unwrap_or_default().to_owned();
        let is_gif = |ending: &std::ffi::OsStr| ending.eq_ignore_ascii_case("gif");
        if file.extension().is_some_and(is_gif) {
            let mut film: Option<Film> = None;
            let mut number = 0;
            each_frame(file, |picture, seconds| {
                number += 1;
                let (sample, frame) = letterboxed(picture, &finder.model.model.info)?;
                let origin = format!("{} frame {number}", file.display());
                let found = finder.find(origin, sample, Some(frame))?;
                let Some(folder) = &args.out else {
                    return Ok(());
                };
                let film = match &mut film {
                    Some(film) => film,
                    none => {
                        let path = folder.join(stem(file)).with_extension("gif");
                        // Viewers take no time for a tenth of a second.
                        let speed = if seconds > 0.0 { 1.0 / seconds } else { 10.0 };
                        none.insert(Film::create(&path, speed)?)
                    }
                };
                let caption = finder.counted(&found);
                film.add(&drawn(picture, &found, &finder.names)?, &[&caption])
            })?;
            if let Some(film) = film {
                film.finish()?;
            }
            continue;
        }
        let set = source.unlabelled(&finder.model.model.info, file)?;
        for index in 0..set.len() {
            let origin = set.origin(index);
            let found = finder.find(origin.clone(), set.sample(index)?, set.frame(index))?;
            if let Some(folder) = &args.out {
                let picture = drawn(&read_picture(origin.as_ref())?, &found, &finder.names)?;
                let path = folder.join(stem(origin.as_ref())).with_extension("png");
                let bytes = png(picture.width, picture.height, &picture.rgb)?;
                write_whole(&path, &bytes)?;
            }
        }
    }
    if let Some(folder) = &args.out {
        let path = folder.join("detections.json");
        let json = coco_results(&finder.all, &finder.names).to_string();
        write_whole(&path, json.as_bytes())?;
        outln!("{}", folder.display());
    }
    Ok(())
}

/// Finds objects, and remembers them.
struct Finder<'a> {
    model: &'a mut Trained,
    names: Vec<String>,
    prints: bool,
    /// Of each picture, where it comes from and what was found.
    all: Vec<(String, Vec<Detection>)>,
}

impl Finder<'_> {
    /// What is in a picture, in its own pixels.
    fn find(
        &mut self,
        origin: String,
        sample: Sample,
        frame: Option<Letterbox>,
    ) -> anyhow::Result<Vec<Detection>> {
        let batch = Batch::collate(vec![(0, sample)]).map_err(anyhow::Error::msg)?;
        let mut found = self
            .model
            .learner
            .predict(&batch, true)?
            .detections(1)
            .remove(0);
        if let Some(frame) = frame {
            for found in &mut found {
                found.bounds = clipped(frame.back(found.bounds), frame.from);
            }
        }
        if self.prints {
            for found in found.iter().filter(|found| found.score >= SHOWN_FROM) {
                let [x1, y1, x2, y2] = found.bounds;
                let (name, score) = (&self.names[found.class], found.score);
                outln!("{origin}  {name} {score:.4}  {x1:.1} {y1:.1} {x2:.1} {y2:.1}");
            }
        }
        self.all.push((origin, found.clone()));
        Ok(found)
    }

    /// How many of each class are shown.
    fn counted(&self, found: &[Detection]) -> String {
        let mut counts = vec![0; self.names.len()];
        let shown = found.iter().filter(|found| found.score >= SHOWN_FROM);
        shown.for_each(|found| counts[found.class] += 1);
        let some = self.names.iter().zip(counts).filter(|(_, n)| *n > 0);
        let some: Vec<String> = some.map(|(name, n)| format!("{name} {n}")).collect();
        some.join(", ")
    }
}

/// Goes on with a text, character by character.
fn write(args: &Args, model: &mut Trained, len: usize) -> Outcome {
    let info = &model.model.info;
    if info.vocabulary.is_empty() || !matches!(info.task, Task::Positions { .. }) {
        return Err(anyhow!("--write: this is no model of characters").into());
    }
    if !(args.temperature >= 0.0 && args.temperature.is_finite()) {
        return Err(anyhow!(
            "--temperature: {} is out of range; give 0 or more",
            args.temperature
        )
        .into());
    }
    let token = |word: &str| {
        let at = info.vocabulary.iter().position(|known| known == word);
        at.with_context(|| format!("--prompt: the model does not know {word:?}"))
    };
    let mut next: Vec<usize> = args
        .prompt
        .chars()
        .map(|c| token(&c.to_string()))
        .collect::<anyhow::Result<_>>()?;
    if next.is_empty() {
        return Err(anyhow!("--prompt: give at least one character").into());
    }
    let vocabulary = info.vocabulary.clone();
    let mut rng = Seeds::new(args.sample_seed).stream("sample", 0);
    out!("{}", args.prompt);
    let mut starts = true;
    for _ in 0..len {
        let batch = Batch {
            samples: vec![0],
            inputs: thorndike_core::Array::from_vec(
                next.iter().map(|&token| token as i32).collect(),
                next.len(),
            ),
            shape: vec![next.len()],
            lengths: Vec::new(),
            targets: thorndike_data::Targets::Unknown,
        };
        let prediction = model.learner.predict(&batch, starts)?;
        starts = false;
        let last = &prediction.outputs[prediction.outputs.len() - prediction.width..];
        let token = sample_next(last, args.temperature, args.top_k, &mut rng);
        out!("{}", vocabulary[token]);
        next = vec![token];
    }
    outln!("");
    Ok(())
}
