//! WordPiece tokens, as BERT reads them.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::Path;

use ahash::AHashMap;
use serde::{Deserialize, Serialize};
use thorndike_core::{Error, Result};
use tokenizers::models::wordpiece::WordPiece as Model;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{
    AddedToken, Model as _, NormalizedString, Normalizer, OffsetReferential, OffsetType,
    PreTokenizedString, PreTokenizer, Tokenizer,
};

use super::{each_line, read_text};
use crate::Info;
use crate::formats::damaged;
use crate::formats::tokens::Encoding;

/// Words of the largest vocabulary.
const MOST_WORDS: usize = 1 << 20;
/// Bytes of its longest word.
const LONGEST_WORD: usize = 1 << 10;
/// The marks that a vocabulary has to have.
pub(super) const MARKS: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// What is done to a text before it is cut into words. The names are those of `tokenizer.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextRules {
    /// Whether control characters are dropped and all white space is alike.
    pub clean_text: bool,
    /// Whether each Chinese character is a word.
    pub handle_chinese_chars: bool,
    /// Whether accents are dropped. Absent: if letters are made small.
    pub strip_accents: Option<bool>,
    /// Whether letters are made small.
    pub lowercase: bool,
}

impl Default for TextRules {
    fn default() -> Self {
        Self {
            clean_text: true,
            handle_chinese_chars: true,
            strip_accents: None,
            lowercase: true,
        }
    }
}

impl TextRules {
    fn normalizer(self) -> BertNormalizer {
        BertNormalizer::new(
            self.clean_text,
            self.handle_chinese_chars,
            self.strip_accents,
            self.lowercase,
        )
    }

    /// The words of `text` as they are cut into pieces: normal, and each mark of punctuation for itself.
    pub(super) fn words(self, text: &str) -> Vec<String> {
        let cut = self.cut(text);
        let splits = cut.get_splits(OffsetReferential::Original, OffsetType::None);
        let words = splits.into_iter().map(|(word, _, _)| word.to_owned());
        words.filter(|word| !word.is_empty()).collect()
    }

    fn cut(self, text: &str) -> PreTokenizedString {
        let mut normal = NormalizedString::from(text);
        let done = self.normalizer().normalize(&mut normal);
        done.expect("normalising does not fail");
        let mut cut = PreTokenizedString::from(normal);
        let done = BertPreTokenizer.pre_tokenize(&mut cut);
        done.expect("cutting into words does not fail");
        cut
    }
}

/// One token of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its number in the vocabulary.
    pub id: i32,
    /// Its first byte in the text.
    pub start: u32,
    /// The byte after its last one.
    pub end: u32,
}

/// A vocabulary of words and pieces of words (`##ing`), and the rules by which texts become tokens of it.
///
/// Marks such as `[SEP]` are never found in a text: what stands there in brackets is read as text.
///
/// ```
/// use thorndike_data::text::{TextRules, WordPiece};
/// let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "token", "##s", "?"];
/// let words = words.map(str::to_owned).to_vec();
/// let pieces = WordPiece::new(words, TextRules::default()).unwrap().pieces("Tokens?");
/// let ids: Vec<i32> = pieces.iter().map(|piece| piece.id).collect();
/// assert_eq!(ids, [5, 6, 7]);
/// assert_eq!((pieces[1].start, pieces[1].end), (5, 6));
/// ```
///
/// # Reference
/// Devlin et al., *BERT*, 2019, and its `tokenization.py`; the work is that of the `tokenizers` library.
/// Deviations: a word of more than 100 characters is unknown, as there in the library, not 200 as in the first version.
pub struct WordPiece {
    words: Vec<String>,
    rules: TextRules,
    model: Model,
    marks: [i32; 5],
}

impl fmt::Debug for WordPiece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.words.len();
        write!(f, "WordPiece({words} words, {:?})", self.rules)
    }
}

impl WordPiece {
    /// A vocabulary of `words`, whose numbers are their places.
    ///
    /// # Errors
    /// If one is empty or there twice, or a mark is missing; says which word, counted from 1.
    pub fn new(words: Vec<String>, rules: TextRules) -> Result<Self, String> {
        if words.len() > MOST_WORDS {
            let found = words.len();
            return Err(format!("has {found} words, expected at most {MOST_WORDS}"));
        }
        let mut numbers = HashMap::with_capacity(words.len());
        for (word, id) in words.iter().zip(0..) {
            let line = id + 1;
            if word.is_empty() || word.len() > LONGEST_WORD {
                let len = word.len();
                return Err(format!(
                    "word {line}: has {len} bytes, expected 1 to {LONGEST_WORD}"
                ));
            }
            if let Some(before) = numbers.insert(word.clone(), id) {
                let before = before + 1;
                return Err(format!(
                    "word {line}: {word:?} is there already, as word {before}"
                ));
            }
        }
        let mut marks = [0; 5];
        for (mark, name) in marks.iter_mut().zip(MARKS) {
            let id = numbers.get(name);
            *mark =
                *id.ok_or_else(|| format!("has no {name}; is it a vocabulary of BERT?"))? as i32;
        }
        if marks[0] != 0 {
            return Err(format!(
                "word {}: is [PAD], expected as word 1",
                marks[0] + 1
            ));
        }
        let model = Model::builder()
            .vocab(numbers.into_iter().collect::<AHashMap<String, u32>>())
            .build()
            .map_err(|e| e.to_string())?;
        Ok(Self {
            words,
            rules,
            model,
            marks,
        })
    }

    /// Reads `path`: a `vocab.txt` with a word a line, a `tokenizer.json`, or a folder with one of them; of both the
    /// latter, which has rules too. `lowercase` and `strip_accents` go before what the file says; for a `vocab.txt`, letters
    /// are made small unless they say otherwise.
    ///
    /// # Errors
    /// If it is missing, damaged or no vocabulary of BERT.
    pub fn load(path: &Path, lowercase: Option<bool>, strip_accents: Option<bool>) -> Result<Self> {
        let inside = ["tokenizer.json", "vocab.txt"].map(|name| path.join(name));
        let file = match path.is_dir() {
            true => inside.iter().find(|file| file.is_file()).ok_or_else(|| {
                damaged(path, "there is neither tokenizer.json nor vocab.txt in it")
            })?,
            false => path,
        };
        let (words, mut rules) = match file.extension().is_some_and(|end| end == "json") {
            true => from_json(file)?,
            false => (from_lines(file)?, TextRules::default()),
        };
        rules.lowercase = lowercase.unwrap_or(rules.lowercase);
        rules.strip_accents = strip_accents.or(rules.strip_accents);
        Self::new(words, rules).map_err(|what| damaged(file, what))
    }

    /// What a model that was trained on data of `info` reads texts by.
    ///
    /// # Errors
    /// If it reads no texts in pieces.
    pub fn of(info: &Info) -> Result<Self> {
        Ok(Encoding::of(info)?.1)
    }

    /// Writes `vocab.txt` and `tokenizer.json` into the folder `dir`.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn save(&self, dir: &Path) -> Result<()> {
        let write = |name: &str, text: &str| {
            let path = dir.join(name);
            fs::write(&path, text).map_err(Error::io(path))
        };
        let mut lines = self.words.join("\n");
        lines.push('\n');
        write("vocab.txt", &lines)?;
        let mut tokenizer = Tokenizer::new(self.model.clone());
        let mark = |which: usize| (MARKS[which].to_owned(), self.marks[which] as u32);
        tokenizer
            .with_normalizer(Some(self.rules.normalizer()))
            .map_err(Error::Backend)?
            .with_pre_tokenizer(Some(BertPreTokenizer))
            .with_post_processor(Some(BertProcessing::new(mark(3), mark(2))))
            .with_decoder(Some(tokenizers::decoders::wordpiece::WordPiece::default()));
        let marks = MARKS.map(|mark| AddedToken::from(mark, true));
        tokenizer
            .add_special_tokens(marks)
            .map_err(Error::Backend)?;
        let text = tokenizer.to_string(true).map_err(Error::Backend)?;
        write("tokenizer.json", &text)
    }

    /// The words; their places are their numbers.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// What is done to a text first.
    pub fn rules(&self) -> TextRules {
        self.rules
    }

    /// Number of `[UNK]`, an unknown word.
    pub fn unknown(&self) -> i32 {
        self.marks[1]
    }

    /// Number of `[CLS]`, which begins a sample.
    pub fn start(&self) -> i32 {
        self.marks[2]
    }

    /// Number of `[SEP]`, which ends a text.
    pub fn separator(&self) -> i32 {
        self.marks[3]
    }

    /// Number of `[MASK]`, in the place of a word that is asked for.
    pub fn mask(&self) -> i32 {
        self.marks[4]
    }

    /// Whether `id` is one of the marks.
    pub fn is_mark(&self, id: i32) -> bool {
        self.marks.contains(&id)
    }

    /// The tokens of `text`, without marks.
    pub fn pieces(&self, text: &str) -> Vec<Piece> {
        let mut cut = self.rules.cut(text);
        let done = cut.tokenize(|word| self.model.tokenize(word.get()));
        done.expect("[UNK] is in the vocabulary");
        let encoding = cut.into_encoding(None, 0, OffsetType::Byte);
        let encoding = encoding.expect("all words were cut into tokens");
        let pieces = encoding.get_ids().iter().zip(encoding.get_offsets());
        let pieces = pieces.map(|(&id, &(start, end))| Piece {
            id: id as i32,
            start: start as u32,
            end: end as u32,
        });
        pieces.collect()
    }

    /// As [`pieces`](Self::pieces), but `[MASK]` in the text is the mark.
    pub fn pieces_with_masks(&self, text: &str) -> Vec<Piece> {
        let mark = MARKS[4];
        let mut pieces = Vec::new();
        let mut start = 0;
        for part in text.split(mark) {
            if start > 0 {
                let at = start as u32;
                let id = self.mask();
                pieces.push(Piece {
                    id,
                    start: at - mark.len() as u32,
                    end: at,
                });
            }
            pieces.extend(self.pieces(part).into_iter().map(|piece| Piece {
                id: piece.id,
                start: piece.start + start as u32,
                end: piece.end + start as u32,
            }));
            start += part.len() + mark.len();
        }
        pieces
    }

    /// `[CLS] a [SEP]`, or `[CLS] a [SEP] b [SEP]`, of at most `max_len` tokens: the longer text is cut first, at its end, as
    /// `tokenizers` does it.
    pub fn join(&self, a: &[i32], b: Option<&[i32]>, max_len: usize) -> Vec<i32> {
        let marks = if b.is_some() { 3 } else { 2 };
        let second = b.unwrap_or(&[]);
        let [n, m] = truncate_pair([a.len(), second.len()], max_len.saturating_sub(marks));
        let mut tokens = Vec::with_capacity(n + m + marks);
        tokens.push(self.start());
        tokens.extend_from_slice(&a[..n]);
        tokens.push(self.separator());
        if b.is_some() {
            tokens.extend_from_slice(&second[..m]);
            tokens.push(self.separator());
        }
        tokens
    }
}

/// How many tokens of two texts are kept so that they are at most `most` together: the longer one is cut first, as
/// `tokenizers` does it.
fn truncate_pair([a, b]: [usize; 2], most: usize) -> [usize; 2] {
    if a + b <= most {
        return [a, b];
    }
    let short = a.min(b);
    let half = most / 2;
    let [short, long] = match short <= half {
        true => [short, most - short],
        false => [half, most - half],
    };
    if a > b { [long, short] } else { [short, long] }
}

/// Tokens of words between white space that were seen before: the same in any text, and much faster to look up.
#[derive(Debug)]
pub(crate) struct Cache<'a> {
    pieces: &'a WordPiece,
    known: HashMap<Box<str>, Box<[i32]>>,
}

impl<'a> Cache<'a> {
    /// Words that are kept.
    const MOST: usize = 1 << 20;

    pub(crate) fn new(pieces: &'a WordPiece) -> Self {
        Self {
            pieces,
            known: HashMap::new(),
        }
    }

    /// Appends the tokens of `text` to `tokens`.
    pub(crate) fn extend(&mut self, text: &str, tokens: &mut Vec<i32>) {
        for word in text.split_whitespace() {
            if let Some(known) = self.known.get(word) {
                tokens.extend_from_slice(known);
                continue;
            }
            let start = tokens.len();
            tokens.extend(self.pieces.pieces(word).iter().map(|piece| piece.id));
            if self.known.len() < Self::MOST {
                self.known.insert(word.into(), tokens[start..].into());
            }
        }
    }
}

/// The words of a file with one a line.
fn from_lines(path: &Path) -> Result<Vec<String>> {
    let mut words = Vec::new();
    each_line(path, |number, word| {
        if words.len() == MOST_WORDS {
            let what = format!("line {number}: is more than {MOST_WORDS} words");
            return Err(damaged(path, what));
        }
        words.push(word.to_owned());
        Ok(())
    })?;
    Ok(words)
}

/// Words and rules of a `tokenizer.json`.
fn from_json(path: &Path) -> Result<(Vec<String>, TextRules)> {
    let text = read_text(path)?;
    let json: serde_json::Value =
        serde_json::from_str(&text).map_err(|e| damaged(path, e.to_string()))?;
    drop(text);
    for (part, key, expected) in [
        ("model", "type", "WordPiece"),
        ("model", "unk_token", "[UNK]"),
        ("model", "continuing_subword_prefix", "##"),
        ("normalizer", "type", "BertNormalizer"),
        ("pre_tokenizer", "type", "BertPreTokenizer"),
    ] {
        let found = &json[part][key];
        if found != expected {
            return Err(damaged(
                path,
                format!("{part}.{key} is {found}, expected \"{expected}\""),
            ));
        }
    }
    let longest = &json["model"]["max_input_chars_per_word"];
    if longest != 100 {
        let what = format!("model.max_input_chars_per_word is {longest}, expected 100");
        return Err(damaged(path, what));
    }
    let mut rules = json["normalizer"].clone();
    if let Some(rules) = rules.as_object_mut() {
        rules.remove("type");
    }
    let rules: TextRules =
        serde_json::from_value(rules).map_err(|e| damaged(path, format!("normalizer: {e}")))?;
    let vocabulary = json["model"]["vocab"].as_object();
    let vocabulary = vocabulary.ok_or_else(|| damaged(path, "model.vocab is no map of words"))?;
    let mut words = vec![String::new(); vocabulary.len()];
    for (word, id) in vocabulary {
        let place = id.as_u64().and_then(|id| words.get_mut(id as usize));
        match place {
            Some(place) if place.is_empty() => *place = word.clone(),
            _ => {
                let what = format!(
                    "model.vocab: {word:?} has the number {id}, expected each from 0 to {} once",
                    vocabulary.len() - 1
                );
                return Err(damaged(path, what));
            }
        }
    }
    Ok((words, rules))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::tests::real;

    fn small() -> WordPiece {
        let words = [
            "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "##b", "é",
        ];
        WordPiece::new(words.map(str::to_owned).to_vec(), TextRules::default()).unwrap()
    }

    fn ids(pieces: &[Piece]) -> Vec<i32> {
        pieces.iter().map(|piece| piece.id).collect()
    }

    /// `tests/wordpiece.json`, which scripts/golden/wordpiece.py makes, and the vocabulary it was made with.
    #[test]
    fn texts_become_the_tokens_that_bert_has_in_transformers() {
        let Some(folder) = real("bert_vocab") else {
            return;
        };
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/wordpiece.json")).unwrap();
        let texts: Vec<String> = serde_json::from_value(golden["texts"].clone()).unwrap();
        for (rules, lowercase, strip_accents) in [
            ("uncased", None, None),
            ("cased", Some(false), None),
            ("accents", None, Some(false)),
        ] {
            let vocabulary = WordPiece::load(&folder, lowercase, strip_accents).unwrap();
            for (text, expected) in texts.iter().zip(golden[rules].as_array().unwrap()) {
                let pieces = vocabulary.pieces(text);
                assert_eq!(
                    serde_json::json!(ids(&pieces)),
                    expected["ids"],
                    "{rules} {text:?}"
                );
                let characters = |byte: u32| text[..byte as usize].chars().count();
                let offsets: Vec<[usize; 2]> = pieces
                    .iter()
                    .map(|piece| [piece.start, piece.end].map(characters))
                    .collect();
                assert_eq!(
                    serde_json::json!(offsets),
                    expected["offsets"],
                    "{rules} {text:?}"
                );
                let mut cached = Vec::new();
                Cache::new(&vocabulary).extend(text, &mut cached);
                assert_eq!(cached, ids(&pieces), "{text:?}");
            }
        }
        let vocabulary = WordPiece::load(&folder.join("vocab.txt"), None, None).unwrap();
        let sample = read_text(&folder.join("sample_text.txt")).unwrap();
        let (pieces, mut cached) = (vocabulary.pieces(&sample), Vec::new());
        Cache::new(&vocabulary).extend(&sample, &mut cached);
        assert_eq!(serde_json::json!(ids(&pieces)), golden["sample"]);
        assert_eq!(cached, ids(&pieces));
        let [a, b] = ["a", "b"].map(|word| vocabulary.pieces(word)[0].id);
        for pair in golden["pairs"].as_array().unwrap() {
            let [n, m, longest]: [usize; 3] =
                serde_json::from_value(pair["lengths"].clone()).unwrap();
            let joined = vocabulary.join(&vec![a; n], Some(&vec![b; m]), longest);
            assert_eq!(serde_json::json!(joined), pair["ids"], "{n} {m} {longest}");
        }
    }

    #[test]
    fn what_is_written_is_read_again_with_its_rules() {
        let folder = tempfile::tempdir().unwrap();
        let rules = TextRules {
            lowercase: false,
            strip_accents: Some(false),
            ..TextRules::default()
        };
        let written = WordPiece::new(small().words().to_vec(), rules).unwrap();
        written.save(folder.path()).unwrap();
        let read = WordPiece::load(folder.path(), None, None).unwrap();
        assert_eq!((read.words(), read.rules()), (written.words(), rules));
        assert_eq!(ids(&read.pieces("é A")), [8, 1]);
        let lines = WordPiece::load(&folder.path().join("vocab.txt"), None, None).unwrap();
        assert_eq!(ids(&lines.pieces("A é")), [5, 1]);
    }

    #[test]
    fn marks_in_a_text_are_text_except_masks_that_are_asked_for() {
        let pieces = small();
        assert!(
            !ids(&pieces.pieces("a [MASK] [SEP]"))
                .iter()
                .any(|id| (2..=4).contains(id))
        );
        let masked = pieces.pieces_with_masks("ab[MASK] b");
        assert_eq!(ids(&masked), [5, 7, 4, 6]);
        assert_eq!((masked[2].start, masked[2].end, masked[3].start), (2, 8, 9));
    }

    #[test]
    fn what_is_no_vocabulary_of_bert_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            WordPiece::load(&path, None, None).unwrap_err().to_string()
        };
        let marks = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
        for (text, what) in [
            ("a\nb\n", "has no [PAD]; is it a vocabulary of BERT?"),
            (
                &format!("a\n{marks}"),
                "word 2: is [PAD], expected as word 1",
            ),
            (
                &format!("{marks}a\na\n"),
                "word 7: \"a\" is there already, as word 6",
            ),
            (
                &format!("{marks}\na\n"),
                "word 6: has 0 bytes, expected 1 to 1024",
            ),
        ] {
            let error = error("vocab.txt", text);
            assert!(error.ends_with(what), "{error}");
        }
        let error_of = |json: serde_json::Value| error("tokenizer.json", &json.to_string());
        let found = error_of(serde_json::json!({"model": {"type": "BPE"}}));
        assert!(
            found.ends_with("model.type is \"BPE\", expected \"WordPiece\""),
            "{found}"
        );
        let found = error("tokenizer.json", "{");
        assert!(found.contains("line 1 column 1"), "{found}");
        small().save(folder.path()).unwrap();
        let path = folder.path().join("tokenizer.json");
        let mut json: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        json["model"]["vocab"]["a"] = 1.into();
        let found = error_of(json);
        assert!(
            found.contains("has the number 1, expected each from 0 to 8 once"),
            "{found}"
        );
    }
}
