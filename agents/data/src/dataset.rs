//! What a data set is: numbered samples of one kind.

use std::fmt::Debug;

use serde::{Deserialize, Serialize};
use thorndike_core::{Kind, Result, Rng, Space};

use crate::boxes::Letterbox;
use crate::{Object, Window, Words};

/// Samples of one kind, read on demand, by several threads at once.
///
/// *Design.* Random access instead of a stream: shuffling, splitting and going on in the middle of an epoch are then
/// lists of numbers, and a sample is the same whoever asks for it and when. What is too large for memory is read from
/// its file at each call.
pub trait DataSet: Send + Sync + Debug {
    /// What the samples are and what is to be learned.
    fn info(&self) -> &Info;

    /// Number of samples.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sample `index`, without augmentation or normalisation.
    ///
    /// # Errors
    /// If it cannot be read or is damaged, with the file and the place.
    ///
    /// # Panics
    /// If there is no such sample.
    fn sample(&self, index: usize) -> Result<Sample>;

    /// Sample `index` as training draws it: what is left to chance in it, such as which words are masked, comes from
    /// `rng`. Of most data sets nothing is, and this is [`sample`](Self::sample), which is the same each time.
    ///
    /// # Errors
    /// As [`sample`](Self::sample).
    fn draw(&self, index: usize, rng: &mut Rng) -> Result<Sample> {
        let _ = rng;
        self.sample(index)
    }

    /// Steps of sample `index`, if that is known without reading it and the same each time it is drawn: what samples of
    /// about one length are put into a batch by.
    fn steps(&self, index: usize) -> Option<usize> {
        let _ = index;
        None
    }

    /// The question that sample `index` is about and the part of its text that it holds, if the task is [`Task::Span`].
    fn window(&self, index: usize) -> Option<Window<'_>> {
        let _ = index;
        None
    }

    /// The words of sample `index`, if the task is [`Task::Positions`] of words in pieces.
    fn words(&self, index: usize) -> Option<Words<'_>> {
        let _ = index;
        None
    }

    /// What people should know of how the samples were read, such as what was repaired; a line each.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Where sample `index` comes from, for people: a file, a line.
    fn origin(&self, index: usize) -> String {
        format!("sample {index}")
    }

    /// The class of sample `index`, if the task is [`Task::Classes`]: what a split is stratified by, and classes are
    /// counted with. Cheaper than [`sample`](Self::sample) where nothing else has to be read.
    ///
    /// # Errors
    /// As [`sample`](Self::sample).
    fn class(&self, index: usize) -> Result<Option<usize>> {
        Ok(match self.sample(index)?.target {
            Target::Class(class) => Some(class),
            _ => None,
        })
    }

    /// Whom sample `index` is of, such as the speaker of a line, if that is known: federated learning gives each owner's
    /// samples to a client.
    fn owner(&self, index: usize) -> Option<&str> {
        let _ = index;
        None
    }

    /// How the picture of sample `index` was fitted into its input, if it was: with it, boxes go back to the picture's own
    /// pixels.
    fn frame(&self, _index: usize) -> Option<Letterbox> {
        None
    }

    /// Whether sample `i + 1` goes on where sample `i` ends, as pieces of one long text do. They are then read in
    /// order, and a recurrent model carries its state from one to the next.
    fn is_consecutive(&self) -> bool {
        false
    }
}

/// What the samples of a data set are, and what is to be learned from them. Travels with a trained model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Info {
    /// One input: a box of numbers, an image `[channels, height, width]` of bytes in `0..=255`, or tokens. Where samples
    /// differ in their first dimension (sequences) or last two (images), this is the largest.
    pub space: Space,
    /// Scalar of the inputs.
    pub scalar: Kind,
    /// What is to be learned.
    pub task: Task,
    /// Words for tokens, in their order; empty if the inputs are no tokens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vocabulary: Vec<String>,
    /// What a reader needs to encode other files in the same way, such as the categories of each column; as the reader of
    /// the format has written it.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub encoding: serde_json::Value,
}

impl Info {
    /// More numbers than any input here has, and more classes.
    const MOST: usize = 1 << 28;

    /// Refuses what no data set can be; for files from elsewhere.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), String> {
        let shape = self.space.shape();
        let numbers = shape.iter().try_fold(1_usize, |all, &n| {
            all.checked_mul(n).filter(|&n| n <= Self::MOST)
        });
        if shape.is_empty() || shape.len() > 3 || numbers.is_none_or(|n| n == 0) {
            return Err(format!("inputs of shape {shape:?}"));
        }
        let fits = match (&self.space, self.scalar) {
            (Space::Box { .. }, Kind::F32 | Kind::U8) => true,
            (Space::MultiDiscrete(sizes), Kind::I32) => {
                sizes.iter().all(|&n| n > 0 && n <= Self::MOST)
            }
            _ => false,
        };
        if !fits {
            return Err(format!("{:?} in {}", self.scalar, self.space));
        }
        let names = self.task.names().len();
        if names == 0 || names > 1 << 20 {
            return Err(format!("{names} classes or numbers"));
        }
        Ok(())
    }
}

/// What is to be learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Task {
    /// One of these classes for each sample.
    Classes {
        /// Their names.
        names: Vec<String>,
    },
    /// One of these classes for each position of a sample: each step of a sequence, each pixel of an image in row order.
    Positions {
        /// Their names.
        names: Vec<String>,
    },
    /// Numbers for each sample.
    Numbers {
        /// Their names.
        names: Vec<String>,
    },
    /// Objects of these classes in each picture, with the boxes around them.
    Boxes {
        /// Their names.
        names: Vec<String>,
    },
    /// Where in a sample of tokens an answer starts and where it ends. The first position stands for no answer.
    Span {
        /// "start" and "end".
        names: Vec<String>,
    },
    /// Tokens that are masked, and whether the second of two texts follows the first.
    Masked {
        /// "is next" and "not next".
        names: Vec<String>,
    },
}

impl Task {
    /// Where an answer starts and ends.
    pub fn span() -> Self {
        Self::Span {
            names: ["start", "end"].map(str::to_owned).to_vec(),
        }
    }

    /// Masked words and the next sentence.
    pub fn masked() -> Self {
        Self::Masked {
            names: ["is next", "not next"].map(str::to_owned).to_vec(),
        }
    }

    /// Names of the classes or numbers.
    pub fn names(&self) -> &[String] {
        match self {
            Self::Classes { names }
            | Self::Positions { names }
            | Self::Numbers { names }
            | Self::Boxes { names }
            | Self::Span { names }
            | Self::Masked { names } => names,
        }
    }
}

/// The class of a position that is not counted, and the word of one that is not masked.
pub const IGNORED: i32 = -1;

/// One sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The input in row order.
    pub values: Values,
    /// Its shape: `[features]`, `[channels, height, width]`, `[steps, features]`, or `[steps]` for tokens.
    pub shape: Vec<usize>,
    /// What is to be learned from it.
    pub target: Target,
}

/// The scalars of an input.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Numbers.
    F32(Vec<f32>),
    /// Pixels.
    U8(Vec<u8>),
    /// Tokens.
    I32(Vec<i32>),
}

/// What is to be learned from one sample.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// For [`Task::Classes`].
    Class(usize),
    /// For [`Task::Classes`]: a share of each class, which sum to 1, such as mixed samples have.
    Shares(Vec<f32>),
    /// For [`Task::Positions`]: one a position; [`IGNORED`] where none is counted.
    Positions(Vec<i32>),
    /// For [`Task::Numbers`].
    Numbers(Vec<f32>),
    /// For [`Task::Boxes`]: bounds in pixels of the input.
    Boxes(Vec<Object>),
    /// For [`Task::Span`]: the first and the last position of the answer; 0 and 0 if there is none.
    Span([i32; 2]),
    /// For [`Task::Masked`].
    Masked {
        /// The right word of each position; [`IGNORED`] where none is asked for.
        words: Vec<i32>,
        /// Whether the second text follows the first; `None` if there is one text only.
        next: Option<bool>,
    },
    /// Not known: inputs of a prediction.
    Unknown,
}
