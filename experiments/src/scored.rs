//! How a trained model does on samples it has not seen: numbers with intervals, and pictures.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use thorndike_core::{Device, Picture};
use thorndike_data::score::{
    Average, Calibration, ClassScore, Confusion, Interval, Regression, interval, perplexity,
    roc_auc, roc_auc_ovr, top_k_accuracy, wilson,
};
use thorndike_data::{
    At, Batch, DataSet, Gathered, Info, Learner, Prediction, Scores, Target, Task, largest,
};

use crate::detected::sheets;
use crate::plot::scored::{Entry, MOST_CLASSES, confusion, picture, sheet};
use crate::run::seed_dir;
use crate::supervised::models::{Description, again};
use thorndike_nets::{Which, find_model};

/// File of the confusion matrix, below the folder of an experiment.
pub(crate) const CONFUSION: &str = "confusion.png";
/// File of the worst mistakes, below the folder of an experiment.
pub(crate) const MISTAKES: &str = "mistakes.png";
/// Draws of a bootstrap.
const RESAMPLES: usize = 1_000;
/// Draws of a bootstrap of average precision, each of which sorts all detections.
const FEW_RESAMPLES: usize = 200;

/// A number with its 95 % interval over the samples.
#[derive(Clone, Debug)]
pub(crate) struct Measure {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) interval: Option<Interval>,
}

/// A trained model, and what it is.
#[derive(Debug)]
pub(crate) struct Trained {
    pub(crate) learner: Box<dyn Learner>,
    pub(crate) model: Description,
    /// Folder of its checkpoint.
    pub(crate) path: PathBuf,
}

/// The folder of the checkpoint in `from`, and what its model is.
pub(crate) fn find(from: &Path, which: Which) -> Result<(PathBuf, Description)> {
    let path = find_model(from, which)?;
    let model = Description::load(&path)?;
    Ok((path, model))
}

/// One of the tasks of a model, as a model of its own.
#[derive(Debug)]
struct OfTask {
    model: Box<dyn Learner>,
    task: usize,
}

impl Learner for OfTask {
    fn learn(&mut self, _: &Batch, _: At) -> thorndike_core::Result<f64> {
        let what = "learning on in one of several tasks";
        Err(thorndike_core::Error::Unsupported(what.to_owned()))
    }

    fn predict(&mut self, batch: &Batch, starts: bool) -> thorndike_core::Result<Prediction> {
        self.model.predict_task(self.task, batch, starts)
    }

    fn save(&self, dir: &Path) -> thorndike_core::Result<()> {
        self.model.save(dir)
    }

    fn load(&mut self, dir: &Path) -> thorndike_core::Result<()> {
        self.model.load(dir)
    }

    fn load_model(&mut self, dir: &Path) -> thorndike_core::Result<()> {
        self.model.load_model(dir)
    }

    fn memory(&self) -> u64 {
        self.model.memory()
    }

    fn describe(&self) -> String {
        self.model.describe()
    }
}

/// As [`trained`], of one of several tasks; its name is empty if there is only one.
pub(crate) fn trained_in(
    task: &str,
    experiment: &Path,
    seed: Option<u64>,
    which: Which,
    device: Device,
) -> Result<Trained> {
    let mut all = trained(experiment, seed, which, device)?;
    if let Some(number) = all.model.tasks.iter().position(|(name, _)| name == task) {
        all.model.info = all.model.tasks[number].1.clone();
        all.learner = Box::new(OfTask {
            model: all.learner,
            task: number,
        });
    }
    Ok(all)
}

/// Reads the model of `seed` in the folder `experiment`, or what `experiment` itself holds if no seed is given.
pub(crate) fn trained(
    experiment: &Path,
    seed: Option<u64>,
    which: Which,
    device: Device,
) -> Result<Trained> {
    let from = seed.map_or_else(|| experiment.to_owned(), |seed| seed_dir(experiment, seed));
    let (path, model) = find(&from, which)?;
    let mut learner = again(&model, device)?;
    learner.load_model(&path)?;
    Ok(Trained {
        learner,
        model,
        path,
    })
}

/// The scores with their intervals.
pub(crate) fn measures(scores: &Scores, info: &Info) -> Vec<Measure> {
    let mut all = Vec::new();
    let mut add = |name: &str, value: f64, interval: Option<Interval>| {
        all.push(Measure {
            name: name.to_owned(),
            value,
            interval,
        });
    };
    match &scores.gathered {
        Gathered::Classes { classes, logs } => {
            let n = info.task.names().len();
            let truth: Vec<i32> = classes.iter().map(|&class| class as i32).collect();
            let said: Vec<i32> = logs
                .chunks_exact(n)
                .map(|row| largest(row) as i32)
                .collect();
            let shares: Vec<f64> = logs.iter().map(|&log| f64::from(log).exp()).collect();
            let table = Confusion::of(n, &truth, &said);
            add(
                "accuracy",
                table.accuracy(),
                Some(wilson(table.correct(), table.total())),
            );
            if n > 5 {
                let value = top_k_accuracy(&truth, &shares, n, 3);
                let right = (value * truth.len() as f64).round() as u64;
                add("top-3 accuracy", value, Some(wilson(right, table.total())));
            }
            let f1 = |drawn: &[usize]| {
                let mut table = Confusion::new(n);
                for &i in drawn {
                    table.count(truth[i] as usize, said[i] as usize);
                }
                table.average(Average::Macro).f1
            };
            let averages = table.average(Average::Macro);
            let bounds = interval(truth.len(), 0, RESAMPLES, f1);
            add("macro F1", averages.f1, bounds);
            add("macro precision", averages.precision, None);
            add("macro recall", averages.recall, None);
            // More rows than this make a resample of the area too slow to wait for.
            let few = (truth.len() * n <= 20_000).then_some(());
            if n == 2 {
                let positive: Vec<bool> = truth.iter().map(|&class| class == 1).collect();
                let second: Vec<f64> = shares.chunks_exact(2).map(|row| row[1]).collect();
                let bounds = few.and_then(|()| {
                    interval(truth.len(), 0, RESAMPLES, |drawn| {
                        let pick = |i: &usize| (positive[*i], second[*i]);
                        let (p, s): (Vec<bool>, Vec<f64>) = drawn.iter().map(pick).unzip();
                        roc_auc(&p, &s)
                    })
                });
                add("ROC AUC", roc_auc(&positive, &second), bounds);
            } else {
                add(
                    "ROC AUC (one against the rest)",
                    roc_auc_ovr(&truth, &shares, n),
                    None,
                );
            }
            let calibration = Calibration::of(15, &truth, &shares, n).error();
            add("calibration error", calibration, None);
            let losses: Vec<f64> = truth
                .iter()
                .zip(logs.chunks_exact(n))
                .map(|(&class, row)| -f64::from(row[class as usize]))
                .collect();
            let mean = losses.iter().sum::<f64>() / losses.len().max(1) as f64;
            add("loss (nats)", mean, mean_interval(&losses));
        }
        Gathered::Steps {
            counted,
            right,
            consecutive,
        } => {
            add("loss (nats a step)", scores.loss, None);
            if *consecutive {
                add("perplexity", perplexity(scores.loss), None);
            }
            let share = *right as f64 / (*counted).max(1) as f64;
            // Steps of a sequence depend on one another: an interval of a share would be too narrow.
            add("accuracy of a step", share, None);
        }
        Gathered::Entities { samples, .. } => {
            let f1 = |drawn: &[usize]| {
                let mut sum = [0; 3];
                for &i in drawn {
                    (0..3).for_each(|k| sum[k] += samples[i][k]);
                }
                2.0 * sum[0] as f64 / (sum[1] + sum[2]).max(1) as f64
            };
            let bounds = interval(samples.len(), 0, RESAMPLES, f1);
            add("entity F1", scores.main(), bounds);
            for (name, value) in scores.named() {
                add(name, value, None);
            }
        }
        Gathered::Spans { questions } => {
            let of = |which: usize| questions.iter().map(|q| q.said[which]).collect::<Vec<_>>();
            add("exact match", scores.main(), mean_interval(&of(0)));
            for (name, value) in scores.named() {
                let bounds = if name == "F1" {
                    mean_interval(&of(1))
                } else {
                    None
                };
                add(name, value, bounds);
            }
        }
        Gathered::Masked { .. } => {
            for (name, value) in scores.named() {
                add(name, value, None);
            }
            add("perplexity of a masked word", perplexity(scores.loss), None);
        }
        Gathered::Pixels { .. } => {
            let ious = scores.image_ious();
            add("mean IoU of an image", scores.main(), mean_interval(&ious));
            let dices: Vec<f64> = scores.image_dices();
            let mean = dices.iter().sum::<f64>() / dices.len().max(1) as f64;
            add("mean Dice of an image", mean, mean_interval(&dices));
            for (name, value) in scores.named() {
                add(name, value, None);
            }
        }
        Gathered::Boxes { samples, .. } => {
            let coco = scores.coco().expect("boxes were gathered");
            let over = |figure: usize| {
                interval(samples.len(), 0, FEW_RESAMPLES, |drawn| {
                    coco.ap_of(drawn)[figure]
                })
            };
            for (i, (name, value)) in coco.summary().named().into_iter().enumerate() {
                if !value.is_nan() {
                    add(name, value, if i < 2 { over(i) } else { None });
                }
            }
            let voc = scores.voc_ap().unwrap_or_default();
            let each = info.task.names().iter().zip(coco.per_class()).zip(voc);
            for ((name, [ap, ap50]), voc) in each.filter(|((_, [ap, _]), _)| !ap.is_nan()) {
                add(&format!("AP50:95 of {name}"), ap, None);
                add(&format!("AP50 of {name}"), ap50, None);
                add(&format!("VOC AP of {name}"), voc, None);
            }
        }
        Gathered::Numbers {
            truth,
            outputs,
            width,
        } => {
            let wide = |values: &[f32]| -> Vec<f64> { values.iter().map(|&x| x.into()).collect() };
            let (truth, outputs) = (wide(truth), wide(outputs));
            let whole = Regression::of(*width, &truth, &outputs);
            let over = |of: &dyn Fn(&Regression) -> f64| {
                interval(truth.len() / width, 0, RESAMPLES, |drawn| {
                    let mut regression = Regression::new(*width);
                    for &i in drawn {
                        let row = i * width..(i + 1) * width;
                        regression.add(&truth[row.clone()], &outputs[row]);
                    }
                    of(&regression)
                })
            };
            add("R2", whole.r2(), over(&Regression::r2));
            add("mean squared error", whole.mse(), over(&Regression::mse));
            add("mean absolute error", whole.mae(), over(&Regression::mae));
        }
    }
    all
}

/// Of a mean of many independent values.
fn mean_interval(values: &[f64]) -> Option<Interval> {
    interval(values.len(), 0, RESAMPLES, |drawn| {
        drawn.iter().map(|&i| values[i]).sum::<f64>() / drawn.len() as f64
    })
}

/// How well each class is found, as lines of a table.
pub(crate) fn class_table(scores: &Scores, info: &Info) -> Vec<String> {
    let names = info.task.names();
    let (rows, kind, of): (Vec<(&str, ClassScore)>, _, _) = match &scores.gathered {
        Gathered::Classes { classes, logs } => {
            let table = confusion_of(classes, logs, names.len());
            let names = names.iter().map(String::as_str);
            (names.zip(table.per_class()).collect(), "class", "samples")
        }
        Gathered::Entities { entities, .. } => (entities.per_type().collect(), "type", "entities"),
        _ => return Vec::new(),
    };
    let widths = rows.iter().map(|(name, _)| name.chars().count());
    let width = widths.max().unwrap_or(0).max(5);
    let mut lines = vec![format!("{kind:<width$}  precision  recall  F1      {of}")];
    for (name, score) in rows {
        lines.push(format!(
            "{name:<width$}  {:<9.4}  {:<6.4}  {:<6.4}  {}",
            score.precision, score.recall, score.f1, score.support
        ));
    }
    lines
}

fn confusion_of(classes: &[u32], logs: &[f32], n: usize) -> Confusion {
    let mut table = Confusion::new(n);
    for (&class, row) in classes.iter().zip(logs.chunks_exact(n)) {
        table.count(class as usize, largest(row));
    }
    table
}

/// Draws the confusion matrix and the worst mistakes into the folder `dir`; gives the files. Nothing is drawn of tasks
/// without classes of samples or pixels.
pub(crate) fn draw(
    title: &str,
    trained: &mut Trained,
    set: &Arc<dyn DataSet>,
    scores: &Scores,
    dir: &Path,
) -> Result<Vec<PathBuf>> {
    let info = &trained.model.info;
    let names = info.task.names();
    let mut files = Vec::new();
    match &scores.gathered {
        Gathered::Classes { classes, logs } => {
            if names.len() <= MOST_CLASSES {
                let path = dir.join(CONFUSION);
                let table = confusion_of(classes, logs, names.len());
                confusion(title, names, table.matrix(), &path)?;
                files.push(path);
            }
            // The least likely right answers first.
            let mut wrong: Vec<(f32, usize, usize)> = classes
                .iter()
                .zip(logs.chunks_exact(names.len()))
                .enumerate()
                .filter(|(_, (class, row))| largest(row) != **class as usize)
                .map(|(i, (&class, row))| (row[class as usize], i, largest(row)))
                .collect();
            wrong.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let mut entries = Vec::new();
            for &(_, i, said) in wrong.iter().take(24) {
                let Some(picture) = picture(&set.sample(i)?) else {
                    break;
                };
                let share = logs[i * names.len() + said].exp();
                entries.push(Entry {
                    pictures: vec![picture],
                    lines: [
                        format!("said {}, {:.0} %", names[said], 100.0 * share),
                        format!("is {}", names[classes[i] as usize]),
                    ],
                });
            }
            if !entries.is_empty() {
                let path = dir.join(MISTAKES);
                let title = format!("{title}: the worst of {} mistakes", wrong.len());
                sheet(&title, &entries, 6, &path)?;
                files.push(path);
            }
        }
        Gathered::Pixels { .. } => {
            let ious = scores.image_ious();
            let mut order: Vec<usize> = (0..ious.len()).collect();
            order.sort_by(|&a, &b| ious[a].total_cmp(&ious[b]).then(a.cmp(&b)));
            let mut entries = Vec::new();
            for &i in order.iter().take(8) {
                let sample = set.sample(i)?;
                let Target::Positions(truth) = &sample.target else {
                    break;
                };
                let Some(shown) = picture(&sample) else { break };
                let truth = mask(
                    truth
                        .iter()
                        .map(|&class| usize::try_from(class).unwrap_or(0)),
                    names.len(),
                    &shown,
                );
                let batch =
                    Batch::collate(vec![(i, sample.clone())]).map_err(anyhow::Error::msg)?;
                let said = trained.learner.predict(&batch, true)?;
                let rows = said.outputs.chunks_exact(said.width).map(largest);
                let said = mask(rows, names.len(), &shown);
                entries.push(Entry {
                    pictures: vec![shown, truth, said],
                    lines: [
                        format!("mean IoU {:.3}", ious[i]),
                        "picture, truth, model".to_owned(),
                    ],
                });
            }
            if !entries.is_empty() {
                let path = dir.join(MISTAKES);
                sheet(&format!("{title}: the worst pictures"), &entries, 2, &path)?;
                files.push(path);
            }
        }
        Gathered::Boxes { .. } => files.extend(sheets(title, &**set, scores, dir)?),
        _ => {}
    }
    Ok(files)
}

/// Classes as shades of grey, of the size of `like`.
fn mask(classes: impl Iterator<Item = usize>, n: usize, like: &Picture) -> Picture {
    // Positions that are not counted lie beyond the classes.
    let grey = |class: usize| [(255 * class.min(n - 1) / (n - 1).max(1)) as u8; 3];
    Picture {
        rgb: classes.flat_map(grey).collect(),
        ..*like
    }
}

/// Refuses to go on if the data are of another kind than those the model was trained on.
pub(crate) fn check_same(trained: &Info, found: &Info) -> Result<()> {
    if trained.scalar != found.scalar || trained.encoding != found.encoding {
        bail!(
            "the model was trained on inputs of another kind: columns, categories or scalars differ"
        );
    }
    if trained.vocabulary != found.vocabulary {
        let (a, b) = (trained.vocabulary.len(), found.vocabulary.len());
        bail!(
            "the model was trained with another vocabulary, of {a} words, than the {b} words of this data"
        );
    }
    if trained.task != found.task {
        let (a, b) = (trained.task.names().len(), found.task.names().len());
        bail!(
            "the model was trained for {a} classes or numbers with other names than the {b} of this data"
        );
    }
    Ok(())
}

/// What a model says of samples whose answers are not known: for each, names with their probabilities, the likeliest
/// first; or numbers.
pub(crate) fn said(info: &Info, row: &[f32], top: usize) -> Vec<(String, f64)> {
    let names = info.task.names();
    let mut said: Vec<(String, f64)> = match info.task {
        Task::Numbers { .. } => {
            let each = names.iter().zip(row);
            return each.map(|(name, &x)| (name.clone(), x.into())).collect();
        }
        _ => {
            let each = names.iter().zip(row);
            each.map(|(name, &log)| (name.clone(), f64::from(log).exp()))
                .collect()
        }
    };
    said.sort_by(|a, b| b.1.total_cmp(&a.1));
    said.truncate(top);
    said
}

/// The first seed in the folder `experiment` that has a model.
pub(crate) fn first_seed(experiment: &Path) -> Result<u64> {
    let folders = crate::runs::seed_folders(experiment)?;
    let number = |path: &PathBuf| -> Option<u64> {
        let name = path.file_name()?.to_str()?;
        name.strip_prefix("seed-")?.parse().ok()
    };
    folders
        .iter()
        .find_map(number)
        .with_context(|| crate::runs::no_run(experiment))
}
