//! Questions whose answers stand in a text.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thorndike_core::{Result, check_range};

use super::tokens::{Encoding, Texts, check_max_len, file_of, vocabulary};
use super::{damaged, shortened};
use crate::text::{WordPiece, each_line, read_text};
use crate::{DataSet, Info, Part, Sample, Target, Task, Values, Window};

/// SQuAD files, version 1.1 or 2.0 (`.json`), or files of the bAbI tasks (`.txt`), each plain or gz.
///
/// A sample is `[CLS] question [SEP] part of the context [SEP]`; a context that is too long is read in parts that overlap.
/// Of bAbI, the context of a question is what the story has told so far, and its answer is the word in the supporting
/// fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuestionsConfig {
    /// The file to learn from.
    pub path: PathBuf,
    /// The file to validate on; without it some of the others are kept back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<PathBuf>,
    /// The file to test on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// `vocab.txt` or `tokenizer.json` of BERT, or a folder with one of them.
    pub vocabulary: PathBuf,
    /// Tokens of a sample at most, with its marks. Default 384.
    pub max_len: usize,
    /// Tokens of the context from the start of one part to the next (`doc_stride`), at most as many as a part has: then
    /// they do not overlap. Default 128.
    pub stride: usize,
    /// Tokens of a question at most; of longer ones the end is cut. Default 64.
    pub longest_question: usize,
    /// Whether letters are made small. Absent: as `tokenizer.json` says, else yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lowercase: Option<bool>,
    /// Whether accents are dropped. Absent: as `tokenizer.json` says, else if letters are made small.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strip_accents: Option<bool>,
}

impl Default for QuestionsConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            validation: None,
            test: None,
            vocabulary: PathBuf::new(),
            max_len: 384,
            stride: 128,
            longest_question: 64,
            lowercase: None,
            strip_accents: None,
        }
    }
}

impl QuestionsConfig {
    pub(crate) fn check(&self) -> Result<()> {
        check_max_len(self.max_len)?;
        check_range("stride", self.stride, 1..=65_536)?;
        // Three marks, and a token of the context at least.
        check_range(
            "longest_question",
            self.longest_question,
            1..=self.max_len - 4,
        )
    }
}

pub(crate) fn open(config: &QuestionsConfig, part: Part) -> Result<Option<Arc<dyn DataSet>>> {
    let Some(path) = file_of(part, &config.path, &config.validation, &config.test)? else {
        return Ok(None);
    };
    let pieces = vocabulary(&config.vocabulary, config.lowercase, config.strip_accents)?;
    let mut questions = Questions::new(path);
    let encoding = Encoding {
        texts: Texts::Questions,
        rules: pieces.rules(),
        max_len: config.max_len,
        pairs: true,
        stride: Some(config.stride),
        longest_question: Some(config.longest_question),
    };
    let reader = Reader::new(&pieces, &encoding);
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or("");
    match name.trim_end_matches(".gz").rsplit('.').next() {
        Some("json") => squad(&mut questions, &reader, path)?,
        Some("txt") => babi(&mut questions, &reader, path)?,
        _ => {
            let what =
                "expected a name that ends with .json (SQuAD) or .txt (bAbI), or the same with .gz";
            return Err(damaged(path, what));
        }
    }
    if questions.questions.is_empty() {
        return Err(damaged(path, "has no questions"));
    }
    questions.info = Some(encoding.info(&pieces, Task::span())?);
    Ok(Some(Arc::new(questions)))
}

/// A line a question: the question, a tab, and the context.
pub(crate) fn unlabelled(info: &Info, path: &Path) -> Result<Arc<dyn DataSet>> {
    let (encoding, pieces) = Encoding::of_texts(info, Texts::Questions)?;
    let reader = Reader::new(&pieces, &encoding);
    let mut questions = Questions::new(path);
    each_line(path, |number, line| {
        let Some((asked, context)) = line.split_once('\t') else {
            let what =
                format!("line {number}: has no tab, expected a question, a tab, and its context");
            return Err(damaged(path, what));
        };
        let origin = format!("line {number}");
        let context = reader.context(context.to_owned());
        let context = context.map_err(|what| damaged(path, format!("{origin}: {what}")))?;
        questions.contexts.push(context);
        let answer = Answer {
            texts: Vec::new(),
            place: None,
        };
        let added = questions.push(&reader, origin.clone(), asked, answer);
        added.map_err(|what| damaged(path, format!("{origin}: {what}")))
    })?;
    if questions.questions.is_empty() {
        return Err(damaged(path, "is empty, expected a question a line"));
    }
    questions.labelled = false;
    questions.info = Some(info.clone());
    Ok(Arc::new(questions))
}

/// Makes tokens of contexts and questions.
struct Reader<'a> {
    pieces: &'a WordPiece,
    max_len: usize,
    stride: usize,
    longest_question: usize,
}

impl<'a> Reader<'a> {
    fn new(pieces: &'a WordPiece, encoding: &Encoding) -> Self {
        let max_len = encoding.max_len;
        Self {
            pieces,
            max_len,
            stride: encoding.stride.unwrap_or(128).max(1),
            longest_question: encoding
                .longest_question
                .unwrap_or(64)
                .clamp(1, max_len - 4),
        }
    }

    fn context(&self, text: String) -> Result<Context, String> {
        let pieces = self.pieces.pieces(&text);
        if pieces.is_empty() {
            return Err("the context is empty".to_owned());
        }
        Ok(Context {
            text,
            tokens: pieces.iter().map(|piece| piece.id).collect(),
            pieces: pieces
                .iter()
                .map(|piece| [piece.start, piece.end])
                .collect(),
        })
    }

    /// First and end piece of each part of a context of `len` pieces, beside a question of `asked`.
    fn parts(&self, len: usize, asked: usize) -> Vec<[u32; 2]> {
        let room = self.max_len - asked - 3;
        let mut parts = Vec::new();
        let mut start = 0;
        loop {
            let end = len.min(start + room);
            parts.push([start as u32, end as u32]);
            if end == len {
                return parts;
            }
            start += self.stride.min(room);
        }
    }
}

#[derive(Debug)]
struct Context {
    text: String,
    tokens: Vec<i32>,
    /// First and end byte of each token.
    pieces: Vec<[u32; 2]>,
}

/// What is right.
struct Answer {
    /// All answers that are; none if there is none.
    texts: Vec<String>,
    /// Bytes in the context of the one that is learned.
    place: Option<[usize; 2]>,
}

#[derive(Debug)]
struct Question {
    id: String,
    asked: String,
    tokens: Vec<i32>,
    context: u32,
    answers: Vec<String>,
    /// First and last piece of the answer that is learned.
    span: Option<[u32; 2]>,
    parts: Vec<[u32; 2]>,
}

#[derive(Debug)]
struct Questions {
    /// There once all is read.
    info: Option<Info>,
    path: PathBuf,
    contexts: Vec<Context>,
    questions: Vec<Question>,
    /// Question and part of each sample.
    samples: Vec<[u32; 2]>,
    labelled: bool,
    separator: i32,
    start: i32,
}

impl Questions {
    fn new(path: &Path) -> Self {
        Self {
            info: None,
            path: path.to_owned(),
            contexts: Vec::new(),
            questions: Vec::new(),
            samples: Vec::new(),
            labelled: true,
            separator: 0,
            start: 0,
        }
    }

    /// Adds a question about the last context.
    fn push(
        &mut self,
        reader: &Reader<'_>,
        id: String,
        asked: &str,
        answer: Answer,
    ) -> Result<(), String> {
        let context = self.contexts.last().expect("there is a context");
        let tokens = reader.pieces.pieces(asked);
        if tokens.is_empty() {
            return Err("the question is empty".to_owned());
        }
        let tokens: Vec<i32> = tokens
            .iter()
            .map(|piece| piece.id)
            .take(reader.longest_question)
            .collect();
        let span = answer.place.map(|[start, end]| {
            let pieces = &context.pieces;
            let first = pieces.iter().position(|&[_, to]| to as usize > start);
            let last = pieces.iter().rposition(|&[from, _]| (from as usize) < end);
            match (first, last) {
                (Some(first), Some(last)) if first <= last => Ok([first as u32, last as u32]),
                _ => Err("the answer has no tokens".to_owned()),
            }
        });
        let parts = reader.parts(context.tokens.len(), tokens.len());
        let number = self.questions.len() as u32;
        self.samples
            .extend((0..parts.len() as u32).map(|part| [number, part]));
        (self.start, self.separator) = (reader.pieces.start(), reader.pieces.separator());
        self.questions.push(Question {
            id,
            asked: asked.to_owned(),
            tokens,
            context: self.contexts.len() as u32 - 1,
            answers: answer.texts,
            span: span.transpose()?,
            parts,
        });
        Ok(())
    }

    fn question(&self, index: usize) -> (&Question, &Context, [usize; 2]) {
        let [question, part] = self.samples[index];
        let question = &self.questions[question as usize];
        let part = question.parts[part as usize].map(|piece| piece as usize);
        (question, &self.contexts[question.context as usize], part)
    }
}

impl DataSet for Questions {
    fn info(&self) -> &Info {
        self.info
            .as_ref()
            .expect("it is set before anybody sees the set")
    }

    fn len(&self) -> usize {
        self.samples.len()
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        let (question, context, [start, end]) = self.question(index);
        let mut tokens = Vec::with_capacity(question.tokens.len() + end - start + 3);
        tokens.push(self.start);
        tokens.extend_from_slice(&question.tokens);
        tokens.push(self.separator);
        let first = tokens.len();
        tokens.extend_from_slice(&context.tokens[start..end]);
        tokens.push(self.separator);
        let target = match question.span {
            _ if !self.labelled => Target::Unknown,
            Some([from, to]) if start <= from as usize && (to as usize) < end => {
                Target::Span([from, to].map(|piece| (first + piece as usize - start) as i32))
            }
            _ => Target::Span([0, 0]),
        };
        Ok(Sample {
            shape: vec![tokens.len()],
            values: Values::I32(tokens),
            target,
        })
    }

    fn steps(&self, index: usize) -> Option<usize> {
        let (question, _, [start, end]) = self.question(index);
        Some(question.tokens.len() + end - start + 3)
    }

    fn window(&self, index: usize) -> Option<Window<'_>> {
        let (question, context, _) = self.question(index);
        let [number, part] = self.samples[index];
        Some(Window {
            question: number as usize,
            id: &question.id,
            asked: &question.asked,
            context: &context.text,
            answers: &question.answers,
            first: question.tokens.len() + 2,
            pieces: &context.pieces,
            parts: &question.parts,
            part: part as usize,
        })
    }

    fn origin(&self, index: usize) -> String {
        format!(
            "{}, question {}",
            self.path.display(),
            self.question(index).0.id
        )
    }

    fn class(&self, _: usize) -> Result<Option<usize>> {
        Ok(None)
    }

    fn notes(&self) -> Vec<String> {
        let whole = |&&[question, part]: &&[u32; 2]| {
            let question = &self.questions[question as usize];
            let [start, end] = question.parts[part as usize];
            question
                .span
                .is_some_and(|[from, to]| start <= from && to < end)
        };
        let answered = self.questions.iter().filter(|q| q.span.is_some()).count();
        let mut found: Vec<u32> = self.samples.iter().filter(whole).map(|s| s[0]).collect();
        found.dedup();
        let path = self.path.display();
        let mut notes = Vec::new();
        if self.samples.len() > self.questions.len() {
            let (questions, samples) = (self.questions.len(), self.samples.len());
            notes.push(format!(
                "{path}: {questions} questions in {samples} samples"
            ));
        }
        if found.len() < answered {
            let missed = answered - found.len();
            notes.push(format!(
                "{path}: the answers to {missed} questions fit in no sample"
            ));
        }
        notes
    }
}

#[derive(Deserialize)]
struct Squad {
    data: Vec<Article>,
}

#[derive(Deserialize)]
struct Article {
    #[serde(default)]
    title: String,
    paragraphs: Vec<Paragraph>,
}

#[derive(Deserialize)]
struct Paragraph {
    context: String,
    qas: Vec<Asked>,
}

#[derive(Deserialize)]
struct Asked {
    id: String,
    question: String,
    #[serde(default)]
    answers: Vec<Given>,
    #[serde(default)]
    is_impossible: bool,
}

#[derive(Deserialize)]
struct Given {
    text: String,
    /// In characters.
    answer_start: usize,
}

/// # Reference
/// Rajpurkar et al., *SQuAD: 100,000+ Questions for Machine Comprehension of Text*, 2016, and *Know What You Don't Know*,
/// 2018 (version 2.0).
fn squad(questions: &mut Questions, reader: &Reader<'_>, path: &Path) -> Result<()> {
    let file: Squad = serde_json::from_str(&read_text(path)?)
        .map_err(|e| damaged(path, format!("is no SQuAD file: {e}")))?;
    let mut ids = HashSet::new();
    for (number, article) in file.data.into_iter().enumerate() {
        let title = match article.title.is_empty() {
            true => format!("article {}", number + 1),
            false => format!("article {:?}", shortened(&article.title)),
        };
        for (number, paragraph) in article.paragraphs.into_iter().enumerate() {
            let context = reader.context(paragraph.context);
            let wrong = |what| damaged(path, format!("{title}, paragraph {}: {what}", number + 1));
            questions.contexts.push(context.map_err(wrong)?);
            for asked in paragraph.qas {
                let text = &questions.contexts[questions.contexts.len() - 1].text;
                let at = format!("{title}, question {}", shortened(&asked.id));
                let wrong = |what: String| damaged(path, format!("{at}: {what}"));
                if !ids.insert(asked.id.clone()) {
                    return Err(wrong("another one has the same id".to_owned()));
                }
                let answer = match asked.is_impossible {
                    true => Answer {
                        texts: Vec::new(),
                        place: None,
                    },
                    false => given(text, asked.answers).map_err(wrong)?,
                };
                questions
                    .push(reader, asked.id, &asked.question, answer)
                    .map_err(wrong)?;
            }
        }
    }
    Ok(())
}

/// The answers to a question; the first one is learned.
fn given(context: &str, answers: Vec<Given>) -> Result<Answer, String> {
    let mut place = None;
    for answer in &answers {
        let mut starts = context.char_indices().map(|(byte, _)| byte);
        let found = starts
            .nth(answer.answer_start)
            .map(|start| &context[start..]);
        if answer.text.trim().is_empty()
            || !found.is_some_and(|rest| rest.starts_with(&answer.text))
        {
            let (text, at) = (shortened(&answer.text), answer.answer_start);
            let there = match found {
                Some(rest) => format!("where there is {:?}", shortened(rest)),
                None => format!("which has {} characters", context.chars().count()),
            };
            return Err(format!(
                "the answer {text:?} does not stand at character {at} of its context, {there}"
            ));
        }
        let start = context.len() - found.map_or(0, str::len);
        place = place.or(Some([start, start + answer.text.len()]));
    }
    if place.is_none() {
        return Err("has no answers, and is_impossible does not say so".to_owned());
    }
    Ok(Answer {
        texts: answers.into_iter().map(|answer| answer.text).collect(),
        place,
    })
}

/// # Reference
/// Weston et al., *Towards AI-Complete Question Answering: A Set of Prerequisite Toy Tasks*, 2015.
fn babi(questions: &mut Questions, reader: &Reader<'_>, path: &Path) -> Result<()> {
    /// Characters of the longest story.
    const LONGEST: usize = 1 << 20;
    let mut story = String::new();
    // Number and bytes of each fact.
    let mut facts: Vec<(u32, [usize; 2])> = Vec::new();
    each_line(path, |line, text| {
        let wrong = |what: String| damaged(path, format!("line {line}: {what}"));
        if text.trim().is_empty() {
            return Ok(());
        }
        let numbered = text
            .split_once(' ')
            .and_then(|(n, rest)| Some((n.parse::<u32>().ok()?, rest)));
        let Some((number, rest)) = numbered else {
            let text = shortened(text);
            return Err(wrong(format!(
                "{text:?} does not begin with a number and a space"
            )));
        };
        if number == 1 {
            story.clear();
            facts.clear();
        }
        let columns: Vec<&str> = rest.split('\t').collect();
        let (asked, answer, support) = match columns[..] {
            [fact] => {
                if !story.is_empty() {
                    story.push(' ');
                }
                let start = story.len();
                story.push_str(fact.trim());
                facts.push((number, [start, story.len()]));
                if story.len() > LONGEST {
                    return Err(wrong(format!("the story is longer than {LONGEST} bytes")));
                }
                return Ok(());
            }
            [asked, answer, support] => (asked.trim(), answer.trim(), support),
            _ => {
                let found = columns.len();
                return Err(wrong(format!(
                    "has {found} columns, expected a fact, or a question, its answer and its supporting facts"
                )));
            }
        };
        let mut place = None;
        for number in support.split_whitespace() {
            let fact = number
                .parse()
                .ok()
                .and_then(|n: u32| facts.iter().find(|(of, _)| *of == n));
            let Some((_, [start, end])) = fact else {
                return Err(wrong(format!(
                    "there is no fact {:?} before it",
                    shortened(number)
                )));
            };
            // Of several facts the last one: it tells what the others lead to.
            place = word_in(&story[*start..*end], answer)
                .map(|[a, b]| [start + a, start + b])
                .or(place);
        }
        if place.is_none() {
            let answer = shortened(answer);
            return Err(wrong(format!(
                "the answer {answer:?} stands in none of its supporting facts; only tasks whose answers do can be read"
            )));
        }
        let context = reader.context(story.clone()).map_err(wrong)?;
        questions.contexts.push(context);
        let answer = Answer {
            texts: vec![answer.to_owned()],
            place,
        };
        questions
            .push(reader, format!("line {line}"), asked, answer)
            .map_err(wrong)
    })
}

/// Bytes of the first place where `word` stands as a word in `text`.
fn word_in(text: &str, word: &str) -> Option<[usize; 2]> {
    if word.is_empty() {
        return None;
    }
    let is_part = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let mut places = text
        .match_indices(word)
        .map(|(start, _)| [start, start + word.len()]);
    places.find(|&[start, end]| {
        !is_part(text[..start].chars().next_back()) && !is_part(text[end..].chars().next())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::super::tests::real;
    use super::super::tokens::tests::Files;
    use super::*;
    use crate::{Batch, Prediction, Scorer, SourceConfig, Targets};

    const DATA: &str = "kind = 'questions'\nmax_len = 12\nstride = 3\nlongest_question = 2";

    fn squad_file(qas: serde_json::Value) -> String {
        let context = "\u{e9}. good, a b c d e f g the";
        json!({"version": "v2.0", "data": [{"title": "T", "paragraphs": [{"context": context, "qas": qas}]}]})
            .to_string()
    }

    fn asked(id: &str, text: &str, start: usize) -> serde_json::Value {
        json!({"id": id, "question": "a b c?", "answers": [{"text": text, "answer_start": start}]})
    }

    #[test]
    fn a_long_context_is_read_in_parts_that_overlap() {
        let none = json!({"id": "none", "question": "a", "answers": [], "is_impossible": true});
        let qas = json!([asked("one", "good", 3), none]);
        let files = Files::new(&[("a.json", &squad_file(qas))]);
        let set = files.train(&format!("{DATA}\npath = 'DIR/a.json'"));
        // 13 pieces, 7 beside two of a question: 0 to 7, 3 to 10, 6 to 13; 8 beside one: 0 to 8, 3 to 11, 6 to 13.
        assert_eq!(set.len(), 6);
        let words = Files::words(&*set, 0);
        assert_eq!(words.join(" "), "[CLS] a b [SEP] e . good , a b c [SEP]");
        assert_eq!(set.sample(0).unwrap().target, Target::Span([6, 6]));
        // The answer is not in the second part; the other question has none.
        assert_eq!(set.sample(1).unwrap().target, Target::Span([0, 0]));
        assert_eq!(set.sample(3).unwrap().target, Target::Span([0, 0]));
        let window = set.window(0).unwrap();
        let place = window.place(6).unwrap();
        assert_eq!(&window.context[place], "good");
        assert_eq!((window.place(3), window.place(11)), (None, None));
        assert_eq!(set.window(4).unwrap().question, 1);
        assert_eq!(set.steps(5), Some(Files::words(&*set, 5).len()));
    }

    #[test]
    fn answers_that_do_not_stand_at_their_place_are_refused() {
        for (qas, what) in [
            (
                json!([asked("q", "good", 4)]),
                "article \"T\", question q: the answer \"good\" does not stand at character 4 of its context, where there \
                 is \"ood, a b c d e f g the\"",
            ),
            (
                json!([asked("q", "good", 99)]),
                "of its context, which has 26 characters",
            ),
            (
                json!([asked("q", "a", 9), asked("q", "a", 9)]),
                "question q: another one has the same id",
            ),
            (
                json!([{"id": "q", "question": "a", "answers": []}]),
                "question q: has no answers, and is_impossible does not say so",
            ),
            (
                json!([{"id": "q", "question": " ", "is_impossible": true}]),
                "question q: the question is empty",
            ),
            (json!([]), "has no questions"),
        ] {
            let files = Files::new(&[("a.json", &squad_file(qas))]);
            let error = files.error(&format!("{DATA}\npath = 'DIR/a.json'"));
            assert!(error.ends_with(what), "{error}");
        }
        let files = Files::new(&[("a.json", "{\"data\": 1}"), ("a.csv", "")]);
        let error = files.error(&format!("{DATA}\npath = 'DIR/a.json'"));
        assert!(
            error.contains("is no SQuAD file: invalid type") && error.contains("line 1"),
            "{error}"
        );
        let error = files.error(&format!("{DATA}\npath = 'DIR/a.csv'"));
        assert!(
            error.contains("expected a name that ends with .json"),
            "{error}"
        );
    }

    #[test]
    fn the_answer_of_a_story_is_the_word_in_its_supporting_fact() {
        let story = "1 a bad.\n2 b bad.\n3 a?\tbad\t2\n1 the good.\n2 the?\tgood\t1\n";
        let files = Files::new(&[("a.txt", story)]);
        let set = files
            .train("kind = 'questions'\npath = 'DIR/a.txt'\nmax_len = 16\nlongest_question = 4");
        assert_eq!(
            Files::words(&*set, 0).join(" "),
            "[CLS] a ? [SEP] a bad . b bad . [SEP]"
        );
        assert_eq!(set.sample(0).unwrap().target, Target::Span([8, 8]));
        assert_eq!(
            Files::words(&*set, 1).join(" "),
            "[CLS] the ? [SEP] the good . [SEP]"
        );
        for (text, what) in [
            (
                "1 a.\n2 b?\tc\t1\n",
                "line 2: the answer \"c\" stands in none of its supporting facts; only",
            ),
            (
                "1 a.\n2 b?\ta\t3\n",
                "line 2: there is no fact \"3\" before it",
            ),
            (
                "a\n",
                "line 1: \"a\" does not begin with a number and a space",
            ),
            ("1 a\tb\n", "line 1: has 2 columns, expected a fact, or"),
        ] {
            let files = Files::new(&[("a.txt", text)]);
            let error = files.error("kind = 'questions'\npath = 'DIR/a.txt'");
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn questions_without_answers_are_read_from_lines() {
        let files = Files::new(&[
            ("a.json", &squad_file(json!([asked("q", "good", 3)]))),
            ("b.txt", "a?\tthe good\n"),
        ]);
        let set = files.train(&format!("{DATA}\npath = 'DIR/a.json'"));
        let other = unlabelled(set.info(), &files.path("b.txt")).unwrap();
        assert_eq!(
            Files::words(&*other, 0).join(" "),
            "[CLS] a ? [SEP] the good [SEP]"
        );
        assert_eq!(other.sample(0).unwrap().target, Target::Unknown);
        let error = unlabelled(set.info(), &files.path("a.json"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("line 1: has no tab, expected a question"),
            "{error}"
        );
    }

    /// What a model says that puts all it has on the right span of each sample.
    fn right(set: &dyn DataSet, batch: &Batch) -> Prediction {
        let steps = batch.shape[0];
        let mut outputs = vec![-20.0; 2 * steps * batch.len()];
        for (row, &sample) in batch.samples.iter().enumerate() {
            let Target::Span(span) = set.sample(sample).unwrap().target else {
                panic!("a span")
            };
            for (which, at) in span.into_iter().enumerate() {
                outputs[2 * (row * steps + at as usize) + which] = -0.1;
            }
        }
        Prediction {
            outputs,
            width: 2,
            loss: 0.0,
            counted: batch.len() as u64,
        }
    }

    fn scores_of_right(set: &Arc<dyn DataSet>) -> crate::Scores {
        let mut scorer = Scorer::new(set.clone());
        for start in (0..set.len()).step_by(8) {
            let samples = start..set.len().min(start + 8);
            let samples = samples.map(|i| (i, set.sample(i).unwrap())).collect();
            let batch = Batch::collate(samples).unwrap();
            assert!(matches!(batch.targets, Targets::Spans(_)));
            scorer.add(&batch, &right(&**set, &batch));
        }
        scorer.finish()
    }

    #[test]
    fn a_model_that_is_right_of_all_parts_scores_all() {
        let none = json!({"id": "none", "question": "a", "answers": [], "is_impossible": true});
        let qas = json!([
            asked("one", "good", 3),
            none,
            asked("two", "e f", 17),
            asked("three", "the", 23)
        ]);
        let files = Files::new(&[("a.json", &squad_file(qas))]);
        let set = files.train(&format!("{DATA}\npath = 'DIR/a.json'"));
        let scores = scores_of_right(&set);
        assert_eq!((scores.main(), scores.name), (1.0, "exact match"));
        let named = scores.named();
        for name in ["F1", "HasAns exact match", "NoAns F1", "best exact match"] {
            assert!(named.contains(&(name, 1.0)), "{name} {named:?}");
        }
    }

    #[test]
    fn real_answers_are_found_at_their_tokens() {
        let Some(vocabulary) = real("bert_vocab") else {
            return;
        };
        let open = |path: PathBuf| {
            let source = SourceConfig::Questions(QuestionsConfig {
                path,
                vocabulary: vocabulary.clone(),
                ..QuestionsConfig::default()
            });
            source.open(Part::Train).unwrap().unwrap()
        };
        if let Some(data) = real("qa_xquad_en") {
            let set = open(data.join("dev_a.json"));
            let scores = scores_of_right(&set);
            let crate::Gathered::Spans { questions } = &scores.gathered else {
                panic!("questions")
            };
            assert_eq!(questions.len(), 632);
            // As in run_squad: an answer whose border is inside of a token cannot be said exactly.
            assert!(scores.main() > 0.98, "{}", scores.main());
        }
        if let Some(data) = real("qa_babi") {
            for task in [
                "qa1_single-supporting-fact",
                "qa4_two-arg-relations",
                "qa12_conjunction",
            ] {
                let set = open(data.join(format!("{task}_test.txt.gz")));
                assert_eq!((set.len(), scores_of_right(&set).main()), (1000, 1.0));
            }
        }
    }
}
