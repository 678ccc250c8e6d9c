//! Labelled data sets that the program draws itself, in formats that others are published in: what models are tried out
//! with where there is no network. The same seed gives the same samples.
//!
//! To add one: a file here whose `draw` writes its files, a variant of [`Set`] with its [`About`], and an arm of
//! [`Order::draw`]; `scripts/data` takes its name as well.

mod copy;
mod digits;
mod folder;
mod parentheses;
mod recall;
mod sentences;
mod shapes;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use clap::ValueEnum;
use thorndike_core::{Error, Rng, Seeds, check_range};

use folder::{Folder, SOURCE, TITLE};

/// Parts of a set, as folders and files are named after them.
const PARTS: [&str; 2] = ["train", "test"];
/// Of how many samples to learn from there is one to test with.
const TRAIN_PER_TEST: usize = 4;

/// A data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Set {
    Digits,
    Shapes,
    ShapesMasks,
    ShapesBoxes,
    SpotBoxes,
    Parentheses,
    Copy,
    Recall,
    Sentences,
}

/// What there is to know about a set.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) what: &'static str,
    /// Samples to learn from, if no other number is asked for.
    pub(crate) samples: usize,
    pub(crate) length: Option<Length>,
    /// How `[data]` of a configuration reads it, but for the path.
    reader: &'static str,
    /// The file to read in its folder, if that is not the folder itself.
    file: &'static str,
}

/// A length that can be chosen.
#[derive(Debug)]
pub(crate) struct Length {
    pub(crate) what: &'static str,
    pub(crate) default: usize,
    range: [usize; 2],
}

impl Set {
    pub(crate) fn about(self) -> About {
        let about = |what, samples, reader| About {
            what,
            samples,
            length: None,
            reader,
            file: "",
        };
        let length = |what, default, range| {
            Some(Length {
                what,
                default,
                range,
            })
        };
        match self {
            Self::Digits => about(
                "drawn digits, 28 x 28 grey, as digit-maze shows them; the test part is what it holds back",
                1000,
                "kind = \"idx\"\n",
            ),
            Self::Shapes => about(
                "one of the shapes of spot in each picture, 64 x 64, under noise",
                1000,
                "kind = \"image-folder\"\n",
            ),
            Self::ShapesMasks => about(
                "scenes of spot, 64 x 64, with the class of each pixel",
                400,
                "kind = \"masks\"\nchannels = 3\n\
                 classes = [\"background\", \"disc\", \"square\", \"triangle\", \"cross\", \"ring\"]\n",
            ),
            Self::ShapesBoxes => about(
                "scenes of spot, 64 x 64, under noise, with a box around what is seen of each shape",
                400,
                "kind = \"coco\"\n",
            ),
            Self::SpotBoxes => about(
                "what spot shows, 64 x 64, with a box around what is seen of each shape and around the cursor",
                2000,
                "kind = \"coco\"\n",
            ),
            Self::Parentheses => About {
                length: length("longest string", 30, [8, 120]),
                ..about(
                    "is a string of parentheses balanced? Of unequal lengths",
                    2000,
                    "kind = \"sequences\"\n",
                )
            },
            Self::Copy => About {
                length: length("steps back", 3, [1, 100]),
                ..about(
                    "at each step, which symbol was seen some steps before?",
                    1000,
                    "kind = \"sequences\"\nids = \"id\"\ntags = true\n",
                )
            },
            Self::Recall => About {
                length: length("memory_length", 10, [1, 1023]),
                ..about(
                    "episodes of memory-chain up to its question, and the right answer",
                    1000,
                    "kind = \"sequences\"\n",
                )
            },
            Self::Sentences => About {
                file: "input.txt",
                ..about(
                    "English sentences of a small grammar, by character",
                    5000,
                    "kind = \"characters\"\n",
                )
            },
        }
    }

    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// A set as it was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    set: Set,
    seed: u64,
    /// Samples to learn from.
    samples: usize,
    /// Of sets that have one.
    length: usize,
    /// Bits of `recall`.
    bits: u32,
}

impl Order {
    /// What is `None` is as the set has it by itself.
    ///
    /// # Errors
    /// If a number is out of range, or not one that the set has.
    pub(crate) fn new(
        set: Set,
        seed: u64,
        samples: Option<usize>,
        length: Option<usize>,
        bits: Option<u32>,
    ) -> Result<Self> {
        let about = set.about();
        let samples = samples.unwrap_or(about.samples);
        // The test part of 10 holds one of each class.
        check_range("--samples", samples, 40..=100_000)?;
        let length = match (about.length, length) {
            (Some(known), None) => known.default,
            (Some(known), Some(length)) => {
                let [least, most] = known.range;
                check_range("--length", length, least..=most)?;
                length
            }
            (None, None) => 0,
            (None, Some(_)) => {
                let what = format!("{} has none", set.name());
                return Err(Error::config("--length", what).into());
            }
        };
        if bits.is_some() && set != Set::Recall {
            return Err(Error::config("--bits", "is for recall alone").into());
        }
        let bits = bits.unwrap_or(1);
        check_range("--bits", bits, 1..=64)?;
        Ok(Self {
            set,
            seed,
            samples,
            length,
            bits,
        })
    }

    /// Samples to learn from and to test with.
    pub(crate) fn counts(&self) -> [usize; 2] {
        match self.set {
            // Its reader takes the end of the text for validation.
            Set::Sentences => [self.samples, 0],
            _ => [self.samples, self.samples / TRAIN_PER_TEST],
        }
    }

    /// The parts, their numbers of samples, and a generator for each.
    fn parts(&self) -> impl Iterator<Item = (&'static str, usize, Rng)> {
        let seeds = Seeds::new(self.seed);
        let name = self.set.name();
        let parts = PARTS.into_iter().zip(self.counts());
        parts.map(move |(part, count)| {
            (part, count, seeds.stream(&format!("data/{name}/{part}"), 0))
        })
    }

    /// The command that draws it.
    fn command(&self) -> String {
        let mut command = format!(
            "thorndike data {} FOLDER --seed {} --samples {}",
            self.set.name(),
            self.seed,
            self.samples
        );
        if self.set.about().length.is_some() {
            command += &format!(" --length {}", self.length);
        }
        if self.set == Set::Recall {
            command += &format!(" --bits {}", self.bits);
        }
        command
    }

    /// `[data]` of a configuration that reads it from `folder`.
    pub(crate) fn data(&self, folder: &Path) -> String {
        let About { reader, file, .. } = self.set.about();
        let path = if file.is_empty() {
            folder.to_owned()
        } else {
            folder.join(file)
        };
        let path = toml::Value::String(path.display().to_string());
        let mut data = format!("[data]\n{reader}");
        if self.set == Set::Recall {
            data += &format!("features = {}\n", recall::features(self));
        }
        data + &format!("path = {path}\n")
    }

    /// The place to draw it in: nothing, an empty folder, or with `force` a folder with a drawn set.
    ///
    /// # Errors
    /// If there is something else.
    pub(crate) fn place<'a>(
        &self,
        folder: &Path,
        force: bool,
        stop: &'a AtomicBool,
    ) -> Result<Folder<'a>> {
        Folder::new(folder, force, stop)
    }

    /// Draws it, whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written, or is stopped.
    pub(crate) fn draw(&self, mut out: Folder<'_>) -> Result<()> {
        let about = self.set.about();
        let (what, command) = (about.what, self.command());
        let source = format!(
            "{TITLE}{command}`\n\nThe set `{}`: {what}.\n",
            self.set.name()
        );
        out.write(SOURCE, source.as_bytes())?;
        match self.set {
            Set::Digits => digits::draw(self, &mut out),
            Set::Shapes => shapes::draw(self, &mut out),
            Set::ShapesMasks => shapes::draw_masks(self, &mut out),
            Set::ShapesBoxes => shapes::draw_boxes(self, &mut out),
            Set::SpotBoxes => shapes::draw_spot(self, &mut out),
            Set::Parentheses => parentheses::draw(self, &mut out),
            Set::Copy => copy::draw(self, &mut out),
            Set::Recall => recall::draw(self, &mut out),
            Set::Sentences => sentences::draw(self, &mut out),
        }?;
        out.finish()
    }
}

#[cfg(test)]
mod tests;
