//! Plain text for pre-training: masked words, and whether a text follows another.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use thorndike_core::prelude::RngExt;
use thorndike_core::{Result, Rng, Seeds, check_range};

use super::damaged;
use super::tokens::{Encoding, Texts, check_max_len, vocabulary};
use crate::text::{Cache, WordPiece, each_line, text_files};
use crate::{DataSet, IGNORED, Info, Part, Sample, Target, Task, Values};

/// Text files, plain or gz, or folders of them (those that end with `.txt` or `.txt.gz`, by name).
///
/// A sample is `[CLS] a [SEP] b [SEP]`: neighbouring sentences that fill it, cut in two at random; half of the time `b` is
/// replaced by sentences of another document. Some of its tokens are masked. Cut, replacement and masks are drawn anew
/// each epoch, and fixed where a model is tried.
///
/// # Reference
/// `create_pretraining_data.py` of Devlin et al., *BERT*, 2019.
///
/// Deviations: which sentences fill a sample is drawn once, so that samples have numbers, and sentences whose place `b` has
/// taken are not carried over to the next sample; no mark of the vocabulary is put in for a masked token at random;
/// if there is one document only, `b` is replaced by sentences from another place of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DocumentsConfig {
    /// The file or folder to learn from.
    pub path: PathBuf,
    /// More of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<PathBuf>,
    /// The file or folder to validate on, or a list of them; without it some samples are kept back. They are never learned
    /// from, even if they lie in a folder of the others. If they are one document only, a text that does not follow is of
    /// the same one, and harder to tell.
    #[serde(
        deserialize_with = "one_or_more",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub validation: Vec<PathBuf>,
    /// The same to test on.
    #[serde(
        deserialize_with = "one_or_more",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub test: Vec<PathBuf>,
    /// `vocab.txt` or `tokenizer.json` of BERT, or a folder with one of them.
    pub vocabulary: PathBuf,
    /// Tokens of a sample at most, with its marks. Default 128.
    pub max_len: usize,
    /// What a document is. Default `file`.
    pub document: Document,
    /// Share of the tokens that are masked. Default 0.15.
    pub mask_share: f64,
    /// Whether all pieces of a word are masked together. Default false.
    pub whole_words: bool,
    /// Whether a sample holds two texts. Default true; without it is `[CLS] a [SEP]`.
    pub next_sentence: bool,
    /// Share of the samples that are shorter than they could be. Default 0.1.
    pub short_share: f64,
    /// Whether letters are made small. Absent: as `tokenizer.json` says, else yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lowercase: Option<bool>,
    /// Whether accents are dropped. Absent: as `tokenizer.json` says, else if letters are made small.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strip_accents: Option<bool>,
}

/// What a document is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Document {
    /// A file, such as a novel. Blank lines part its paragraphs, whose lines are joined; a sentence ends with `.`, `!` or
    /// `?`.
    #[default]
    File,
    /// What stands between blank lines; each line is a sentence. The form that BERT's scripts read.
    Block,
}

impl Default for DocumentsConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            more: Vec::new(),
            validation: Vec::new(),
            test: Vec::new(),
            vocabulary: PathBuf::new(),
            max_len: 128,
            document: Document::File,
            mask_share: 0.15,
            whole_words: false,
            next_sentence: true,
            short_share: 0.1,
            lowercase: None,
            strip_accents: None,
        }
    }
}

impl DocumentsConfig {
    pub(crate) fn check(&self) -> Result<()> {
        check_max_len(self.max_len)?;
        check_range("mask_share", self.mask_share, 0.01..=0.9)?;
        check_range("short_share", self.short_share, 0.0..=1.0)
    }
}

/// A path, or a list of them.
fn one_or_more<'de, D: Deserializer<'de>>(read: D) -> std::result::Result<Vec<PathBuf>, D::Error> {
    struct Paths;
    impl<'de> Visitor<'de> for Paths {
        type Value = Vec<PathBuf>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a path or a list of paths")
        }

        fn visit_str<E: de::Error>(self, path: &str) -> std::result::Result<Self::Value, E> {
            Ok(vec![path.into()])
        }

        fn visit_seq<A: SeqAccess<'de>>(
            self,
            mut list: A,
        ) -> std::result::Result<Self::Value, A::Error> {
            let mut paths = Vec::new();
            while let Some(path) = list.next_element()? {
                paths.push(path);
            }
            Ok(paths)
        }
    }
    read.deserialize_any(Paths)
}

pub(crate) fn open(config: &DocumentsConfig, part: Part) -> Result<Option<Arc<dyn DataSet>>> {
    let set = documents(config, part)?;
    Ok(set.map(|set| Arc::new(set) as Arc<dyn DataSet>))
}

fn documents(config: &DocumentsConfig, part: Part) -> Result<Option<Documents>> {
    let learned: Vec<&PathBuf> = std::iter::once(&config.path).chain(&config.more).collect();
    let (key, paths) = match part {
        Part::Train => ("more", learned),
        Part::Validation => ("validation", config.validation.iter().collect()),
        Part::Test => ("test", config.test.iter().collect()),
    };
    let Some(&path) = paths.first() else {
        return Ok(None);
    };
    let mut files = Vec::new();
    for path in paths {
        if !path.exists() {
            return Err(crate::source::missing(key, path));
        }
        files.extend(text_files(path)?);
    }
    if part == Part::Train {
        for kept in config.validation.iter().chain(&config.test) {
            if kept.exists() {
                let kept = text_files(kept)?;
                files.retain(|file| !kept.contains(file));
            }
        }
    }
    let pieces = vocabulary(&config.vocabulary, config.lowercase, config.strip_accents)?;
    let mut corpus = Corpus::new(&pieces);
    let mut cache = Cache::new(&pieces);
    for file in &files {
        read(file, config.document, &mut corpus, &mut cache)?;
    }
    if corpus.sentences() == 0 {
        return Err(damaged(path, "there is no text in it"));
    }
    let encoding = Encoding {
        texts: Texts::Documents,
        rules: pieces.rules(),
        max_len: config.max_len,
        pairs: config.next_sentence,
        stride: None,
        longest_question: None,
    };
    let marks = if config.next_sentence { 3 } else { 2 };
    let mut samples = Vec::new();
    corpus.pack(config.max_len - marks, config.short_share, &mut samples);
    Ok(Some(Documents {
        info: encoding.info(&pieces, Task::masked())?,
        config: config.clone(),
        path: path.clone(),
        // What a masked token is replaced by at random.
        words: (0..pieces.words().len() as i32)
            .filter(|&id| !pieces.is_mark(id))
            .collect(),
        goes_on: pieces
            .words()
            .iter()
            .map(|word| word.starts_with("##"))
            .collect(),
        pieces,
        corpus,
        samples,
    }))
}

/// Adds the documents of `path` to `corpus`.
fn read(path: &Path, document: Document, corpus: &mut Corpus, cache: &mut Cache<'_>) -> Result<()> {
    let mut tokens = Vec::new();
    let mut add = |corpus: &mut Corpus, sentence: &str| {
        tokens.clear();
        cache.extend(sentence, &mut tokens);
        corpus.push(&tokens).map_err(|what| damaged(path, what))
    };
    match document {
        Document::Block => {
            each_line(path, |_, line| {
                if line.trim().is_empty() {
                    corpus.end_document();
                    return Ok(());
                }
                add(corpus, line)
            })?;
        }
        Document::File => {
            let mut paragraph = String::new();
            let mut end = |paragraph: &mut String, corpus: &mut Corpus| {
                for sentence in sentences(paragraph) {
                    add(corpus, sentence)?;
                }
                paragraph.clear();
                Ok(())
            };
            each_line(path, |_, line| {
                // A text without blank lines is not held as a whole.
                if line.trim().is_empty() || paragraph.len() > 1 << 20 {
                    end(&mut paragraph, corpus)?;
                }
                paragraph.push_str(line);
                paragraph.push(' ');
                Ok(())
            })?;
            end(&mut paragraph, corpus)?;
        }
    }
    corpus.end_document();
    Ok(())
}

/// Sentences of a paragraph: what ends with `.`, `!` or `?`, and quotes and brackets after it; not after a title such as
/// "Mr." or an initial, and not before a small letter.
fn sentences(paragraph: &str) -> Vec<&str> {
    const TITLES: [&str; 10] = [
        "Mr", "Mrs", "Ms", "Dr", "St", "Prof", "Gen", "Col", "Capt", "No",
    ];
    let mut sentences = Vec::new();
    let mut start = 0;
    let mut words = paragraph.split_whitespace().peekable();
    while let Some(word) = words.next() {
        let bare = word.trim_end_matches(['"', '\'', ')', ']', '\u{201d}', '\u{2019}', '_']);
        let ends = match bare.strip_suffix('.') {
            Some(stem) => {
                let stem = stem.trim_start_matches(|c: char| !c.is_alphanumeric());
                stem.chars().count() > 1 && !TITLES.contains(&stem)
            }
            None => bare.ends_with(['!', '?']),
        };
        let small = words
            .peek()
            .is_some_and(|next| next.starts_with(char::is_lowercase));
        if words.peek().is_none() || ends && !small {
            let end = word.as_ptr() as usize - paragraph.as_ptr() as usize + word.len();
            sentences.push(&paragraph[start..end]);
            start = end;
        }
    }
    sentences
}

/// All tokens, two bytes each where the vocabulary allows it.
#[derive(Debug)]
enum Ids {
    Small(Vec<u16>),
    Large(Vec<u32>),
}

/// Documents of sentences of tokens.
#[derive(Debug)]
struct Corpus {
    ids: Ids,
    /// Where each sentence begins; the last is the end of all.
    starts: Vec<u32>,
    /// First sentence of each document; the last is the end of all.
    documents: Vec<u32>,
}

impl Corpus {
    fn new(pieces: &WordPiece) -> Self {
        Self {
            ids: match pieces.words().len() <= 1 << 16 {
                true => Ids::Small(Vec::new()),
                false => Ids::Large(Vec::new()),
            },
            starts: vec![0],
            documents: vec![0],
        }
    }

    fn sentences(&self) -> usize {
        self.starts.len() - 1
    }

    fn push(&mut self, tokens: &[i32]) -> Result<(), String> {
        if tokens.is_empty() {
            return Ok(());
        }
        let end = self.starts.last().map_or(0, |&start| start as usize) + tokens.len();
        let Ok(end) = u32::try_from(end) else {
            return Err(format!(
                "the texts have more than {} tokens together",
                u32::MAX
            ));
        };
        match &mut self.ids {
            Ids::Small(ids) => ids.extend(tokens.iter().map(|&id| id as u16)),
            Ids::Large(ids) => ids.extend(tokens.iter().map(|&id| id as u32)),
        }
        self.starts.push(end);
        Ok(())
    }

    fn end_document(&mut self) {
        let sentences = self.sentences() as u32;
        if self.documents.last() != Some(&sentences) {
            self.documents.push(sentences);
        }
    }

    /// Number of tokens of these sentences.
    fn len(&self, sentences: Range<usize>) -> usize {
        (self.starts[sentences.end] - self.starts[sentences.start]) as usize
    }

    /// Appends the tokens of these sentences.
    fn extend(&self, sentences: Range<usize>, tokens: &mut Vec<i32>) {
        let range = self.starts[sentences.start] as usize..self.starts[sentences.end] as usize;
        match &self.ids {
            Ids::Small(ids) => tokens.extend(ids[range].iter().map(|&id| i32::from(id))),
            Ids::Large(ids) => tokens.extend(ids[range].iter().map(|&id| id as i32)),
        }
    }

    /// The document that sentence `sentence` is in.
    fn document(&self, sentence: usize) -> usize {
        self.documents
            .partition_point(|&first| first as usize <= sentence)
            - 1
    }

    /// First and end sentence of each sample: as many as fill `most` tokens, or fewer for some.
    fn pack(&self, most: usize, short_share: f64, samples: &mut Vec<[u32; 2]>) {
        let mut rng = Seeds::new(0).stream("data/documents/pack", 0);
        let mut target = |most: usize| match short_share > 0.0 && rng.random_bool(short_share) {
            true => rng.random_range(2..=most),
            false => most,
        };
        for document in self.documents.windows(2) {
            let (mut first, end) = (document[0] as usize, document[1] as usize);
            let mut wanted = target(most);
            for next in first + 1..=end {
                if next == end || self.len(first..next) >= wanted {
                    samples.push([first as u32, next as u32]);
                    first = next;
                    wanted = target(most);
                }
            }
        }
    }
}

#[derive(Debug)]
struct Documents {
    info: Info,
    config: DocumentsConfig,
    path: PathBuf,
    pieces: WordPiece,
    /// Numbers of all words that are no marks.
    words: Vec<i32>,
    /// Of each word, whether it goes on the one before.
    goes_on: Vec<bool>,
    corpus: Corpus,
    /// First and end sentence.
    samples: Vec<[u32; 2]>,
}

impl Documents {
    /// Sentences from another document, or from another place if there is none, that fill `wanted` tokens.
    fn elsewhere(&self, here: Range<usize>, wanted: usize, rng: &mut Rng) -> Range<usize> {
        let corpus = &self.corpus;
        let own = corpus.document(here.start);
        let mut start = 0;
        // As the original: ten tries, and what comes then is taken.
        for _ in 0..10 {
            start = rng.random_range(0..corpus.sentences());
            let other = corpus.document(start) != own;
            let far = start.abs_diff(here.start) > here.len() + 20;
            if other || corpus.documents.len() == 2 && far {
                break;
            }
        }
        let last = corpus.documents[corpus.document(start) + 1] as usize;
        let mut end = start + 1;
        while end < last && corpus.len(start..end) < wanted {
            end += 1;
        }
        start..end
    }

    /// The two texts of a sample, and whether the second follows the first; the second is empty without next sentences.
    fn texts(&self, index: usize, rng: &mut Rng) -> ([Vec<i32>; 2], Option<bool>) {
        let [first, end] = self.samples[index].map(|sentence| sentence as usize);
        let (mut a, mut b) = (Vec::new(), Vec::new());
        if !self.config.next_sentence {
            self.corpus.extend(first..end, &mut a);
            return ([a, b], None);
        }
        let most = self.config.max_len - 3;
        let cut = match end - first {
            1 => end,
            _ => first + rng.random_range(1..end - first),
        };
        self.corpus.extend(first..cut, &mut a);
        let follows = end - first > 1 && rng.random_bool(0.5);
        let second = match follows {
            true => cut..end,
            false => {
                let all = self.corpus.len(first..end).min(most);
                let wanted = all.saturating_sub(a.len()).max(1);
                self.elsewhere(first..end, wanted, rng)
            }
        };
        self.corpus.extend(second, &mut b);
        // The longer text loses tokens at its start or its end.
        let [mut a, mut b] = [a, b].map(|tokens| (0..tokens.len(), tokens));
        while a.0.len() + b.0.len() > most {
            let longer = if a.0.len() > b.0.len() {
                &mut a.0
            } else {
                &mut b.0
            };
            match rng.random_bool(0.5) {
                true => longer.start += 1,
                false => longer.end -= 1,
            }
        }
        (
            [a, b].map(|(range, tokens)| tokens[range].to_vec()),
            Some(follows),
        )
    }

    /// Masks some of `tokens`; gives the right words.
    fn mask(&self, tokens: &mut [i32], rng: &mut Rng) -> Vec<i32> {
        // Positions that are masked together.
        let mut groups: Vec<Range<usize>> = Vec::with_capacity(tokens.len());
        for (position, &token) in tokens.iter().enumerate() {
            if self.pieces.is_mark(token) {
                continue;
            }
            let goes_on = self.config.whole_words && self.goes_on[token as usize];
            match groups.last_mut() {
                Some(group) if goes_on && group.end == position => group.end += 1,
                _ => groups.push(position..position + 1),
            }
        }
        let wanted = (tokens.len() as f64 * self.config.mask_share)
            .round()
            .max(1.0) as usize;
        let mut right = vec![IGNORED; tokens.len()];
        let mut masked = 0;
        for drawn in 0..groups.len() {
            if masked >= wanted {
                break;
            }
            let other = rng.random_range(drawn..groups.len());
            groups.swap(drawn, other);
            let group = groups[drawn].clone();
            if masked + group.len() > wanted && masked > 0 {
                continue;
            }
            masked += group.len();
            for position in group {
                right[position] = tokens[position];
                tokens[position] = match rng.random_range(0..10) {
                    0..8 => self.pieces.mask(),
                    8 => tokens[position],
                    _ => self.words[rng.random_range(0..self.words.len())],
                };
            }
        }
        right
    }
}

impl DataSet for Documents {
    fn info(&self) -> &Info {
        &self.info
    }

    fn len(&self) -> usize {
        self.samples.len()
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        self.draw(
            index,
            &mut Seeds::new(0).stream("data/documents/sample", index as u64),
        )
    }

    fn draw(&self, index: usize, rng: &mut Rng) -> Result<Sample> {
        let ([a, b], next) = self.texts(index, rng);
        let second = next.is_some().then_some(&b[..]);
        let mut tokens = self.pieces.join(&a, second, self.config.max_len);
        let words = self.mask(&mut tokens, rng);
        Ok(Sample {
            shape: vec![tokens.len()],
            values: Values::I32(tokens),
            target: Target::Masked { words, next },
        })
    }

    fn origin(&self, index: usize) -> String {
        let [first, _] = self.samples[index];
        format!("{}, sentence {}", self.path.display(), first + 1)
    }

    fn class(&self, _: usize) -> Result<Option<usize>> {
        Ok(None)
    }

    fn notes(&self) -> Vec<String> {
        let corpus = &self.corpus;
        let sentences = corpus.sentences();
        vec![format!(
            "{}: {} documents, {sentences} sentences, {} tokens",
            self.path.display(),
            corpus.documents.len() - 1,
            corpus.len(0..sentences)
        )]
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::real;
    use super::super::tokens::tests::Files;
    use super::*;
    use crate::{Loader, LoaderConfig, SourceConfig, Targets};

    const DATA: &str = "kind = 'documents'\npath = 'DIR/a.txt'\nmax_len = 16";

    /// Documents whose sentences hold one letter five times; no two share letters.
    fn blocks() -> String {
        let block = |letters: &str| -> String {
            let line = |c: char| format!("{}\n", format!("{c} ").repeat(5));
            letters.chars().map(line).collect::<String>() + "\n"
        };
        ["abcdefgh", "ijklmnop", "qrstuvwx"].map(block).concat()
    }

    /// The words of a drawn sample before masking: both texts, and whether the second follows.
    fn texts(set: &dyn DataSet, sample: Sample) -> ([Vec<String>; 2], Option<bool>) {
        let (Values::I32(mut tokens), Target::Masked { words, next }) =
            (sample.values, sample.target)
        else {
            panic!("masked words")
        };
        for (token, &word) in tokens.iter_mut().zip(&words) {
            if word != IGNORED {
                *token = word;
            }
        }
        let word = |&token: &i32| set.info().vocabulary[token as usize].clone();
        let words: Vec<String> = tokens.iter().map(word).collect();
        assert_eq!(
            (words[0].as_str(), words.last().unwrap().as_str()),
            ("[CLS]", "[SEP]")
        );
        let mut parts = words[1..words.len() - 1].split(|word| word == "[SEP]");
        let mut part = || parts.next().unwrap_or_default().to_vec();
        ([part(), part()], next)
    }

    #[test]
    fn sentences_end_where_prose_ends_them() {
        let text = "Mr. Smith came in. \u{201c}Why?\u{201d} he said. \"Oh!\" She left at 5 p.m. and J. Doe too... Yes (really.) So";
        let cut: Vec<&str> = sentences(text).into_iter().map(str::trim).collect();
        let expected = [
            "Mr. Smith came in.",
            "\u{201c}Why?\u{201d} he said.",
            "\"Oh!\"",
            "She left at 5 p.m. and J. Doe too...",
            "Yes (really.)",
            "So",
        ];
        assert_eq!(cut, expected);
    }

    #[test]
    fn the_second_text_follows_or_is_of_another_document() {
        let files = Files::new(&[("a.txt", &blocks())]);
        let set = files.train(&format!("{DATA}\ndocument = 'block'"));
        assert!(set.notes()[0].ends_with("3 documents, 24 sentences, 120 tokens"));
        let mut rng = Seeds::new(1).stream("test", 0);
        let mut followed = 0;
        let document = |words: &[String]| words.first().map(|w| (w.as_bytes()[0] - b'a') / 8);
        let mut pairs = 0;
        let samples = sole(&files).samples;
        for round in 0..400 {
            let index = round % set.len();
            if samples[index][1] - samples[index][0] < 2 {
                continue;
            }
            let ([a, b], next) = texts(&*set, set.draw(index, &mut rng).unwrap());
            assert!(!a.is_empty() && !b.is_empty() && a.len() + b.len() <= 13);
            pairs += 1;
            match next.unwrap() {
                true => {
                    followed += 1;
                    assert_eq!(document(&a), document(&b));
                    assert!(a.last().unwrap() <= &b[0]);
                }
                false => assert_ne!(document(&a), document(&b)),
            }
        }
        // Half of them; a deviation of 200 draws is 0.035.
        assert!(pairs > 200);
        let share = f64::from(followed) / f64::from(pairs);
        assert!((share - 0.5).abs() < 0.12, "{share}");
    }

    fn sole(files: &Files) -> Documents {
        let config = DocumentsConfig {
            path: files.path("a.txt"),
            vocabulary: files.path("vocab.txt"),
            max_len: 16,
            document: Document::Block,
            ..DocumentsConfig::default()
        };
        documents(&config, Part::Train).unwrap().unwrap()
    }

    #[test]
    fn masks_are_15_in_100_and_8_of_10_of_them_are_marks() {
        let files = Files::new(&[("a.txt", &blocks())]);
        let set = sole(&files);
        let mut rng = Seeds::new(1).stream("test", 0);
        let [mut asked, mut masks, mut same] = [0.0; 3];
        let before: Vec<i32> = (5..105).map(|i| 5 + i % 26).collect();
        for _ in 0..400 {
            let mut tokens = before.clone();
            let words = set.mask(&mut tokens, &mut rng);
            for ((&word, &token), &was) in words.iter().zip(&tokens).zip(&before) {
                match word {
                    IGNORED => assert_eq!(token, was),
                    word => {
                        assert_eq!(word, was);
                        asked += 1.0;
                        masks += f64::from(u8::from(token == set.pieces.mask()));
                        same += f64::from(u8::from(token == was));
                        assert!(token == set.pieces.mask() || !set.pieces.is_mark(token));
                    }
                }
            }
        }
        assert_eq!(asked, 400.0 * 15.0);
        // 6,000 draws: a deviation is 0.005 of masks and 0.004 of those that stay, a few of which are drawn at random.
        assert!((masks / asked - 0.8).abs() < 0.021, "{masks}");
        assert!((same / asked - 0.1).abs() < 0.018, "{same}");
    }

    #[test]
    fn whole_words_are_masked_together() {
        let files = Files::new(&[("a.txt", "abc def ghi jkl mno pqr stu vwx\n")]);
        let set = files.train(&format!(
            "{DATA}\nwhole_words = true\nnext_sentence = false\nmask_share = 0.3"
        ));
        let mut rng = Seeds::new(1).stream("test", 0);
        for _ in 0..50 {
            let sample = set.draw(0, &mut rng).unwrap();
            let Target::Masked { words, next: None } = sample.target else {
                panic!("one text")
            };
            // The text is cut to 14 pieces: four whole words, and two pieces of a fifth.
            let asked = words
                .iter()
                .map(|&word| word != IGNORED)
                .collect::<Vec<_>>();
            for word in asked[1..13].chunks(3) {
                assert!(word.iter().all(|&is| is == word[0]), "{asked:?}");
            }
        }
    }

    #[test]
    fn training_draws_anew_each_epoch_and_trying_does_not() {
        let files = Files::new(&[("a.txt", &blocks())]);
        let set = files.train(&format!("{DATA}\ndocument = 'block'"));
        let batches = |workers: usize, draw: bool| {
            let config = LoaderConfig {
                batch_size: 64,
                shuffle: false,
                draw,
                workers,
                ..LoaderConfig::default()
            };
            let mut loader = Loader::new(set.clone(), &config, Seeds::new(3)).unwrap();
            [0, 1].map(|_| loader.next().unwrap().batch)
        };
        let [first, second] = batches(0, true);
        assert_ne!(first.targets, second.targets);
        assert_eq!([first, second], batches(3, true));
        let [first, second] = batches(1, false);
        assert_eq!(first, second);
        assert!(matches!(first.targets, Targets::Masked { .. }));
    }

    #[test]
    fn what_validates_is_not_learned_from() {
        let files = Files::new(&[
            ("a.txt", "Aa bb. Cc dd.\n"),
            ("b.txt", "Ee ff. Gg hh.\n\nIi jj.\n"),
        ]);
        let keys = "kind = 'documents'\npath = 'DIR'\nmax_len = 16\nvalidation = ['DIR/b.txt']\ntest = 'DIR/vocab.txt'";
        let train = files.train(keys);
        assert!(
            train.notes()[0].ends_with("1 documents, 2 sentences, 10 tokens"),
            "{:?}",
            train.notes()
        );
        let kept = files.open(keys, Part::Validation).unwrap().unwrap();
        assert!(kept.notes()[0].ends_with("1 documents, 3 sentences, 15 tokens"));
        // One document: the second text is from another place of it, or the first one again if there is no other.
        let ([a, _], Some(_)) = texts(&*kept, kept.sample(0).unwrap()) else {
            panic!("two texts")
        };
        assert!(!a.is_empty());
    }

    #[test]
    fn empty_and_missing_texts_are_refused() {
        let files = Files::new(&[("a.txt", " \n\n")]);
        assert_eq!(files.error(DATA), "DIR/a.txt: there is no text in it");
        let error = files.error(&format!("{DATA}\nmore = ['DIR/b']"));
        assert_eq!(error, "data.more: DIR/b is not there");
        let error = toml::from_str::<DocumentsConfig>("test = 3").unwrap_err();
        assert!(
            error
                .message()
                .contains("expected a path or a list of paths")
        );
        let error = files.error(&format!("{DATA}\nmask_share = 0"));
        assert!(
            error.starts_with("data.mask_share: 0 is out of range"),
            "{error}"
        );
    }

    #[test]
    fn a_novel_is_read() {
        let (Some(data), Some(vocabulary)) = (real("text_novels"), real("bert_vocab")) else {
            return;
        };
        let source = SourceConfig::Documents(DocumentsConfig {
            path: data.join("bleak_house.txt.gz"),
            vocabulary,
            ..DocumentsConfig::default()
        });
        let set = source.open(Part::Train).unwrap().unwrap();
        eprintln!("{:?}, {} samples", set.notes(), set.len());
        let mut lengths = 0;
        for index in 0..set.len() {
            lengths += set.sample(index).unwrap().shape[0];
        }
        // 10 % are short, and the ends of what `b` was replaced by.
        assert!(
            lengths > 100 * set.len(),
            "{lengths} tokens in {} samples",
            set.len()
        );
    }
}
