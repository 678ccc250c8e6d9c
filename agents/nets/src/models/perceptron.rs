//! The perceptron: `s = W x + b`, `[features] -> [classes]`; the class is that of the largest score.
//!
//! With two classes there is one row of weights, `s = w x + b`, and the class is the sign. Each sample that is put into
//! the wrong class changes the weights, no other does:
//!
//! | classes | change, with the learning rate `eta` |
//! |---|---|
//! | two, `y` = -1 or +1 | if `y s <= 0`: `w += eta y x`, `b += eta y` |
//! | more | if `k = argmax s` is not `y`: `W_y += eta x`, `b_y += eta`, `W_k -= eta x`, `b_k -= eta` |

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};
use thorndike_core::{Error, Kind, Result, check_range};
use thorndike_data::{At, Batch, Info, Learner, Prediction, Targets, Task};

use crate::supervised::Known;

const FILE: &str = "perceptron.json";

/// Settings of [`Perceptron`].
///
/// # Reference
/// Rosenblatt, "The Perceptron" (1958); `pocket`: Gallant, "Perceptron-based Learning Algorithms" (1990), algorithm of
/// section III without ratchet; `averaged`: Freund and Schapire, "Large Margin Classification Using the Perceptron
/// Algorithm" (1999), section 2. More than two classes: Duda and Hart, *Pattern Classification* (1973), Kesler's
/// construction. Deviations: the weights begin at zero; a score of 0 is a mistake for either class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PerceptronConfig {
    /// Which weights predict.
    pub form: Form,
    /// How far a mistake moves the weights; it scales them, and decides nothing else. Default 1.
    pub learning_rate: f64,
}

/// Which weights of a perceptron predict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// Those after the latest sample.
    Last,
    /// Those that classified most samples in a row while learning.
    Pocket,
    /// The mean over all samples.
    #[default]
    Averaged,
}

impl Default for PerceptronConfig {
    fn default() -> Self {
        Self {
            form: Form::default(),
            learning_rate: 1.0,
        }
    }
}

impl PerceptronConfig {
    /// Refuses values out of range.
    ///
    /// # Errors
    /// [`Error::Config`] with the key and what is accepted.
    pub fn check(&self) -> Result<()> {
        check_range("learning_rate", self.learning_rate, 1e-6..=1e6)
    }
}

/// A perceptron.
#[derive(Debug)]
pub struct Perceptron {
    config: PerceptronConfig,
    classes: usize,
    features: usize,
    state: State,
    /// Room for one sample.
    x: Vec<f32>,
}

/// All that is learned; written to a file as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    /// Of the inputs.
    mean: Vec<f32>,
    deviation: Vec<f32>,
    /// `[rows, features + 1]`, the bias last; one row for two classes.
    weights: Vec<f32>,
    /// What the form keeps: the weights of the longest run, or the sum over all samples.
    kept: Vec<f64>,
    samples: u64,
    mistakes: u64,
    run: u64,
    longest_run: u64,
}

impl Perceptron {
    /// For samples of `info`, normalised by what is `known` of them.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of range, or the samples are no numbers of two or more classes.
    pub fn new(config: &PerceptronConfig, info: &Info, known: &Known) -> Result<Self> {
        config.check()?;
        let Task::Classes { names } = &info.task else {
            let what = "\"perceptron\" tells classes of samples; the data has something else to be learned";
            return Err(Error::config("model.kind", what));
        };
        if info.scalar == Kind::I32 || names.len() < 2 {
            let what = format!(
                "\"perceptron\" reads numbers of two or more classes; the data has {} of {} classes",
                info.space,
                names.len()
            );
            return Err(Error::config("model.kind", what));
        }
        let features = info.space.len();
        let rows = if names.len() == 2 { 1 } else { names.len() };
        let (mean, deviation) = match &known.moments {
            Some(moments) => {
                let each = features / moments.mean.len().max(1);
                let spread = |values: &[f64]| -> Vec<f32> {
                    let repeated = |&value: &f64| std::iter::repeat_n(value as f32, each);
                    match info.space.shape().len() {
                        // Sequences: features lie side by side in each step.
                        2 => values
                            .iter()
                            .map(|&v| v as f32)
                            .cycle()
                            .take(features)
                            .collect(),
                        _ => values.iter().flat_map(repeated).collect(),
                    }
                };
                (spread(&moments.mean), spread(&moments.deviation))
            }
            None => (vec![0.0; features], vec![1.0; features]),
        };
        Ok(Self {
            config: config.clone(),
            classes: names.len(),
            features,
            state: State {
                mean,
                deviation,
                weights: vec![0.0; rows * (features + 1)],
                kept: vec![0.0; rows * (features + 1)],
                samples: 0,
                mistakes: 0,
                run: 0,
                longest_run: 0,
            },
            x: vec![0.0; features + 1],
        })
    }

    /// Refuses inputs of another length.
    fn check(&self, batch: &Batch) -> Result<()> {
        if batch.inputs.cols() == self.features {
            return Ok(());
        }
        let what = format!(
            "a perceptron reads inputs of one length, {}, and there are some of {}",
            self.features,
            batch.inputs.cols()
        );
        Err(Error::config("model.kind", what))
    }

    /// Puts row `row` of `batch`, normalised, and a 1 for the bias into `x`.
    fn read(&mut self, batch: &Batch, row: usize) {
        let Self { x, state, .. } = self;
        let moments = state.mean.iter().zip(&state.deviation);
        let set = |x: &mut f32, value: f32, (mean, deviation): (&f32, &f32)| {
            *x = (value - mean) / deviation;
        };
        match batch.inputs.kind() {
            Kind::U8 => {
                let values = batch.inputs.row::<u8>(row).iter();
                for ((x, &value), m) in x.iter_mut().zip(values).zip(moments) {
                    set(x, f32::from(value) / 255.0, m);
                }
            }
            _ => {
                let values = batch.inputs.row::<f32>(row).iter();
                for ((x, &value), m) in x.iter_mut().zip(values).zip(moments) {
                    set(x, value, m);
                }
            }
        }
        x[self.features] = 1.0;
    }

    /// The scores of `x` by `weights`, one a class; those of two classes are `-s` and `s`.
    fn scores<T: Copy + Into<f64>>(&self, weights: &[T]) -> Vec<f64> {
        let score = |row: &[T]| -> f64 {
            let products = row.iter().zip(&self.x);
            products.map(|(&w, &x)| w.into() * f64::from(x)).sum()
        };
        let mut scores: Vec<f64> = weights.chunks_exact(self.x.len()).map(score).collect();
        if let [s] = scores[..] {
            scores = vec![-s, s];
        }
        scores
    }

    fn learn_from(&mut self, class: usize) -> f64 {
        let scores = self.scores(&self.state.weights);
        let largest = largest(&scores);
        let rival = match self.classes {
            2 if scores[class] > 0.0 => None,
            2 => Some(1 - class),
            _ => (largest != class).then_some(largest),
        };
        let Self { state, x, .. } = self;
        state.samples += 1;
        let loss = match rival {
            None => {
                state.run += 1;
                0.0
            }
            Some(rival) => {
                state.mistakes += 1;
                state.run = 0;
                let len = x.len();
                let rate = self.config.learning_rate as f32;
                let mut add = |row: usize, sign: f32| {
                    for (w, x) in state.weights[row * len..][..len].iter_mut().zip(&*x) {
                        *w += sign * rate * x;
                    }
                };
                if self.classes == 2 {
                    add(0, if class == 1 { 1.0 } else { -1.0 });
                    -scores[class]
                } else {
                    add(class, 1.0);
                    add(rival, -1.0);
                    scores[rival] - scores[class]
                }
            }
        };
        match self.config.form {
            Form::Last => {}
            Form::Pocket if state.run > state.longest_run => {
                state.longest_run = state.run;
                for (kept, &w) in state.kept.iter_mut().zip(&state.weights) {
                    *kept = f64::from(w);
                }
            }
            Form::Pocket => {}
            Form::Averaged => {
                for (kept, &w) in state.kept.iter_mut().zip(&state.weights) {
                    *kept += f64::from(w);
                }
            }
        }
        loss
    }
}

fn largest(scores: &[f64]) -> usize {
    let mut best = 0;
    for (i, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = i;
        }
    }
    best
}

impl Learner for Perceptron {
    fn learn(&mut self, batch: &Batch, _: At) -> Result<f64> {
        let Targets::Classes(classes) = &batch.targets else {
            let what = "mixed samples have no class, and a perceptron learns from classes; leave out \"mixup\"";
            return Err(Error::config("data.augment", what));
        };
        self.check(batch)?;
        let mut sum = 0.0;
        for row in 0..batch.len() {
            self.read(batch, row);
            sum += self.learn_from(classes.row::<i32>(row)[0] as usize);
        }
        Ok(sum / batch.len() as f64)
    }

    fn predict(&mut self, batch: &Batch, _starts: bool) -> Result<Prediction> {
        self.check(batch)?;
        let mut prediction = Prediction {
            outputs: Vec::with_capacity(batch.len() * self.classes),
            width: self.classes,
            loss: 0.0,
            counted: 0,
        };
        let scale = match self.config.form {
            Form::Averaged => 1.0 / self.state.samples.max(1) as f64,
            _ => 1.0,
        };
        for row in 0..batch.len() {
            self.read(batch, row);
            let mut scores = match self.config.form {
                Form::Last => self.scores(&self.state.weights),
                _ => self.scores(&self.state.kept),
            };
            scores.iter_mut().for_each(|s| *s *= scale);
            let top = scores[largest(&scores)];
            if let Targets::Classes(classes) = &batch.targets {
                prediction.loss += top - scores[classes.row::<i32>(row)[0] as usize];
                prediction.counted += 1;
            }
            let sum: f64 = scores.iter().map(|s| (s - top).exp()).sum();
            let logs = scores.iter().map(|s| (s - top - sum.ln()) as f32);
            prediction.outputs.extend(logs);
        }
        Ok(prediction)
    }

    fn save(&self, dir: &Path) -> Result<()> {
        let path = dir.join(FILE);
        let text = serde_json::to_vec(&self.state).map_err(|e| Error::Backend(Box::new(e)))?;
        fs::write(&path, text).map_err(Error::io(path))
    }

    fn load(&mut self, dir: &Path) -> Result<()> {
        let path = dir.join(FILE);
        let State {
            weights,
            kept,
            mean,
            deviation,
            ..
        } = &self.state;
        let lens = [weights, mean, deviation].map(Vec::len);
        let numbers = lens.iter().sum::<usize>() + kept.len();
        // No number is longer in decimal.
        let most = 40 * numbers as u64 + 1024;
        let mut text = String::new();
        let file = File::open(&path).map_err(Error::io(&path))?;
        let read = file.take(most).read_to_string(&mut text);
        read.map_err(Error::io(&path))?;
        let state: State = serde_json::from_str(&text)
            .map_err(|e| Error::checkpoint(&path, format!("is damaged: {e}")))?;
        let found = [&state.weights, &state.mean, &state.deviation].map(Vec::len);
        if found != lens || state.kept.len() != kept.len() {
            let what = format!(
                "is of a perceptron of {} weights, expected {}",
                state.weights.len(),
                weights.len()
            );
            return Err(Error::checkpoint(path, what));
        }
        self.state = state;
        Ok(())
    }

    fn load_model(&mut self, dir: &Path) -> Result<()> {
        self.load(dir)
    }

    fn memory(&self) -> u64 {
        (4 * (self.state.weights.len() + 3 * self.features) + 8 * self.state.kept.len()) as u64
    }

    fn describe(&self) -> String {
        format!("{} weights", self.state.weights.len())
    }

    fn numbers(&self) -> Vec<(Cow<'static, str>, f64)> {
        vec![("perceptron/mistakes".into(), self.state.mistakes as f64)]
    }
}
