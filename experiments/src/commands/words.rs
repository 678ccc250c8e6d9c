use std::path::{Path, PathBuf};

use anyhow::anyhow;
use thorndike_words::evaluation::{Questions, RESTRICT, WordPairs};
use thorndike_words::{Near, WordVectors, plane};

use super::Outcome;
use super::out::outln;
use crate::plot::{self, Theme};
use crate::words::open;

/// Look at word vectors: nearest words, analogies, tests, pictures, other formats
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Print the words nearest to a word, with the cosines between
    Nearest {
        #[command(flatten)]
        vectors: Vectors,
        /// The word, or several
        #[arg(required = true)]
        words: Vec<String>,
        /// Words that are printed of each
        #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
        top: u32,
    },
    /// Print what is to C as B is to A, such as `man king woman`
    Analogy {
        #[command(flatten)]
        vectors: Vectors,
        /// A word
        a: String,
        /// What is to it as the answer is to C
        b: String,
        /// The word that the answer goes with
        c: String,
        /// Answers that are printed, the nearest first
        #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
        top: u32,
    },
    /// Print the cosine between the vectors of two words
    Similarity {
        #[command(flatten)]
        vectors: Vectors,
        /// A word
        a: String,
        /// Another
        b: String,
    },
    /// Compare with what people say of word pairs, and count right answers to analogies
    Evaluate {
        #[command(flatten)]
        vectors: Vectors,
        /// Files of word pairs: two words and a number in each line
        #[arg(long, value_name = "FILE", num_args = 1..)]
        pairs: Vec<PathBuf>,
        /// A file of analogies such as questions-words.txt
        #[arg(long, value_name = "FILE")]
        questions: Option<PathBuf>,
        /// The first words, of which answers are taken
        #[arg(long, value_name = "N", default_value_t = RESTRICT)]
        restrict: usize,
    },
    /// Write the vectors as a file of word2vec (.bin or .txt) or as .safetensors
    Export {
        #[command(flatten)]
        vectors: Vectors,
        /// The file; its ending says the format
        file: PathBuf,
    },
    /// Draw the first words in two dimensions
    Plot {
        #[command(flatten)]
        vectors: Vectors,
        /// Picture to write, .png or .svg; words.png beside the vectors if absent
        #[arg(short, long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// How the place of a word is found
        #[arg(long, value_enum, default_value = "t-sne")]
        method: Method,
        /// Words that are drawn
        #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(2..=2000))]
        top: u32,
        /// The most frequent words that are passed over: they say little
        #[arg(long, value_name = "N", default_value_t = 100)]
        skip: usize,
        /// Dark background
        #[arg(long)]
        dark: bool,
    },
}

/// Where vectors come from.
#[derive(Debug, clap::Args)]
pub(super) struct Vectors {
    /// Folder of an experiment, such as results/word2vec-cbow, or a file of vectors (.bin, .txt, .vec or .safetensors)
    path: PathBuf,
    /// Of an experiment: the vectors of this seed; the first one if absent
    #[arg(long)]
    seed: Option<u64>,
}

impl Vectors {
    fn open(&self) -> anyhow::Result<WordVectors> {
        open(&self.path, self.seed)
    }
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum Method {
    /// Neighbours stay neighbours
    TSne,
    /// The two directions of most spread
    Pca,
}

pub(super) fn run(command: Command) -> Outcome {
    match command {
        Command::Nearest {
            vectors,
            words,
            top,
        } => {
            let vectors = vectors.open()?;
            for word in &words {
                if words.len() > 1 {
                    outln!("{word}");
                }
                print(&vectors.nearest(word, top as usize)?)?;
            }
        }
        Command::Analogy {
            vectors,
            a,
            b,
            c,
            top,
        } => print(&vectors.open()?.analogy(&a, &b, &c, top as usize)?)?,
        Command::Similarity { vectors, a, b } => {
            outln!("{:.4}", vectors.open()?.similarity(&a, &b)?);
        }
        Command::Evaluate {
            vectors,
            pairs,
            questions,
            restrict,
        } => {
            if pairs.is_empty() && questions.is_none() {
                return Err(
                    anyhow!("give --pairs FILE or --questions FILE to be compared with").into(),
                );
            }
            evaluate(&vectors.open()?, &pairs, questions.as_deref(), restrict)?;
        }
        Command::Export { vectors, file } => {
            vectors.open()?.write(&file)?;
            outln!("{}", file.display());
        }
        Command::Plot {
            vectors,
            out,
            method,
            top,
            skip,
            dark,
        } => {
            let beside = match vectors.path.is_dir() {
                true => vectors.path.join("words.png"),
                false => vectors.path.with_file_name("words.png"),
            };
            let out = out.unwrap_or(beside);
            let vectors = vectors.open()?;
            let all = vectors.words().len();
            if skip + 2 > all {
                return Err(anyhow!("--skip: {skip} of {all} words leave fewer than two").into());
            }
            let range = skip..all.min(skip + top as usize);
            let theme = if dark { Theme::Dark } else { Theme::Light };
            draw(&vectors, range, method, theme, &out)?;
            outln!("{}", out.display());
        }
    }
    Ok(())
}

fn print(near: &[Near]) -> Outcome {
    let longest = near.iter().map(|near| near.word.chars().count()).max();
    let width = longest.unwrap_or(0);
    for Near { word, cosine } in near {
        outln!("  {word:<width$}  {cosine:.4}");
    }
    Ok(())
}

fn evaluate(
    vectors: &WordVectors,
    pairs: &[PathBuf],
    questions: Option<&Path>,
    restrict: usize,
) -> Outcome {
    // All are read before any is used: a mistake in the last is told at once.
    let read = pairs.iter().map(|path| WordPairs::read(path));
    let read: Vec<WordPairs> = read.collect::<thorndike_core::Result<_>>()?;
    let questions = questions.map(Questions::read).transpose()?;
    for (path, pairs) in pairs.iter().zip(read) {
        let similarity = pairs.evaluate(vectors);
        outln!(
            "{:<28} Spearman {:.4}  of {} pairs, {} more have a word that is not known",
            path.file_stem().unwrap_or_default().to_string_lossy(),
            similarity.spearman,
            similarity.pairs,
            similarity.unknown
        );
    }
    let Some(questions) = questions else {
        return Ok(());
    };
    let sections = questions.evaluate(vectors, restrict);
    let mut sums = [0; 3];
    for section in &sections {
        let counts = [section.right, section.asked, section.unknown];
        line(&section.name, counts)?;
        (0..3).for_each(|i| sums[i] += counts[i]);
    }
    line("all", sums)
}

fn line(name: &str, [right, asked, unknown]: [usize; 3]) -> Outcome {
    let percent = match asked {
        0 => "     -".to_owned(),
        _ => format!("{:>5.1}%", 100.0 * right as f64 / asked as f64),
    };
    outln!(
        "{name:<28} {percent}  {right} of {asked} right, {unknown} more have a word that is not known"
    );
    Ok(())
}

fn draw(
    vectors: &WordVectors,
    range: std::ops::Range<usize>,
    method: Method,
    theme: Theme,
    out: &Path,
) -> anyhow::Result<()> {
    /// Neighbours of a word that are kept near it, about.
    const PERPLEXITY: f64 = 15.0;
    let width = vectors.dimension();
    // Directions alone, as everywhere else that vectors are compared.
    let units: Vec<f32> = range
        .clone()
        .flat_map(|index| {
            let vector = vectors.vector(index);
            let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
            vector
                .iter()
                .map(move |x| x / length.max(f32::MIN_POSITIVE))
        })
        .collect();
    let (places, name) = match method {
        Method::Pca => (plane::pca(&units, width), "PCA"),
        Method::TSne => (plane::t_sne(&units, width, PERPLEXITY), "t-SNE"),
    };
    let title = format!(
        "words {} to {} of {}, {width} dimensions in two by {name}",
        range.start + 1,
        range.end,
        vectors.words().len()
    );
    plot::words(&title, &vectors.words()[range], &places, theme, out)
}
