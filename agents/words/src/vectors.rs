//! Vectors with their words, and the files that hold them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use thorndike_core::{Error, Result};

use crate::{Vocabulary, damaged};

/// Words of a model, below its folder.
pub(crate) const VOCABULARY: &str = "vocabulary.txt";
/// Weights of a model, below its folder.
pub(crate) const TENSORS: &str = "word2vec.safetensors";
/// Bytes of a word in a file at most.
const LONGEST: usize = 10_000;
/// Numbers of a vector at most.
const WIDEST: usize = 1_000_000;

/// Vectors of words, all of the same length.
///
/// Where a file has a word twice, the first vector is kept, as by gensim.
#[derive(Clone, Debug, PartialEq)]
pub struct WordVectors {
    words: Vec<String>,
    indices: HashMap<String, usize>,
    /// `[words, dimension]`.
    vectors: Vec<f32>,
    dimension: usize,
}

/// A word and how near it is, the cosine of the angle between.
#[derive(Clone, Debug, PartialEq)]
pub struct Near {
    /// The word.
    pub word: String,
    /// From -1 to 1.
    pub cosine: f32,
}

impl WordVectors {
    /// Words with their `vectors`, `[words, dimension]`.
    ///
    /// # Errors
    /// If there are no words, a word is there twice, or the numbers are no whole vectors.
    pub fn new(words: Vec<String>, vectors: Vec<f32>) -> Result<Self> {
        let dimension = vectors.len() / words.len().max(1);
        if words.is_empty() || dimension == 0 || vectors.len() != words.len() * dimension {
            let what = format!("{} numbers for {} words", vectors.len(), words.len());
            return Err(Error::config("vectors", what));
        }
        let indices: HashMap<String, usize> = words.iter().cloned().zip(0..).collect();
        if indices.len() != words.len() {
            return Err(Error::config("words", "one is there twice"));
        }
        Ok(Self {
            words,
            indices,
            vectors,
            dimension,
        })
    }

    /// The words; of Word2Vec the most frequent first.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// Numbers of a vector.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// All numbers, `[words, dimension]`.
    pub fn as_slice(&self) -> &[f32] {
        &self.vectors
    }

    /// The place of a word.
    pub fn index(&self, word: &str) -> Option<usize> {
        self.indices.get(word).copied()
    }

    /// The vector of the word at `index`, `[dimension]`.
    ///
    /// # Panics
    /// If there are not so many words.
    pub fn vector(&self, index: usize) -> &[f32] {
        &self.vectors[index * self.dimension..][..self.dimension]
    }

    /// The vector of a word.
    pub fn get(&self, word: &str) -> Option<&[f32]> {
        self.index(word).map(|index| self.vector(index))
    }

    /// The `n` words whose vectors point most nearly into the direction of that of `word`, which is not one of them.
    ///
    /// # Errors
    /// If the word is not there; the message has words that are like it.
    pub fn nearest(&self, word: &str, n: usize) -> Result<Vec<Near>> {
        let index = self.known(word)?;
        Ok(self.nearest_to(&self.unit(index), n, &[index]))
    }

    /// The `n` words that are to `b` as `a2` is to `a`... that is, nearest to `b - a + c` of unit vectors; the three are not
    /// among them.
    ///
    /// # Errors
    /// If one of the words is not there.
    ///
    /// # Reference
    /// Mikolov, Yih, Zweig, *Linguistic Regularities in Continuous Space Word Representations*, 2013; Levy, Goldberg,
    /// *Linguistic Regularities in Sparse and Explicit Word Representations*, 2014, call it 3CosAdd. Deviations: none.
    pub fn analogy(&self, a: &str, b: &str, c: &str, n: usize) -> Result<Vec<Near>> {
        let places = [self.known(a)?, self.known(b)?, self.known(c)?];
        let [a, b, c] = places.map(|index| self.unit(index));
        let numbers = a.iter().zip(&b).zip(&c);
        let wanted: Vec<f32> = numbers.map(|((a, b), c)| b - a + c).collect();
        Ok(self.nearest_to(&wanted, n, &places))
    }

    /// The cosine of the angle between the vectors of two words.
    ///
    /// # Errors
    /// If one of them is not there.
    pub fn similarity(&self, a: &str, b: &str) -> Result<f32> {
        let [a, b] = [self.known(a)?, self.known(b)?].map(|index| self.unit(index));
        Ok(dot(&a, &b))
    }

    fn known(&self, word: &str) -> Result<usize> {
        self.index(word).ok_or_else(|| {
            let lower = word.to_lowercase();
            let near = self
                .words
                .iter()
                .find(|known| known.to_lowercase() == lower);
            let hint = match near {
                Some(near) => format!("; did you mean {near:?}?"),
                None => String::new(),
            };
            let what = format!(
                "{word:?} is not one of the {} words{hint}",
                self.words.len()
            );
            Error::config("word", what)
        })
    }

    /// The vector at `index`, made 1 long; zero if it is zero.
    pub(crate) fn unit(&self, index: usize) -> Vec<f32> {
        let vector = self.vector(index);
        let length = dot(vector, vector).sqrt();
        let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
        vector.iter().map(|x| x * scale).collect()
    }

    fn nearest_to(&self, wanted: &[f32], n: usize, without: &[usize]) -> Vec<Near> {
        let length = dot(wanted, wanted).sqrt().max(f32::MIN_POSITIVE);
        let others = (0..self.words.len()).filter(|index| !without.contains(index));
        let mut near: Vec<(f32, usize)> = others
            .map(|index| {
                let vector = self.vector(index);
                let own = dot(vector, vector).sqrt().max(f32::MIN_POSITIVE);
                (dot(vector, wanted) / own / length, index)
            })
            .collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0));
        let near = near.into_iter().take(n);
        near.map(|(cosine, index)| Near {
            word: self.words[index].clone(),
            cosine,
        })
        .collect()
    }

    /// Reads a file of the kind that its ending says: `.bin` is word2vec's binary one, `.txt` and `.vec` its text,
    /// `.safetensors` a tensor `vectors` with the words beside it, as [`write`](Self::write) leaves them. Of a folder, what
    /// [`Word2Vec::save`](crate::Word2Vec::save) wrote.
    ///
    /// # Errors
    /// If the file cannot be read, or is not of its kind, with the line or the byte.
    pub fn read(path: &Path) -> Result<Self> {
        if path.is_dir() {
            let words = Vocabulary::load(&path.join(VOCABULARY))?;
            let words = words.words().map(str::to_owned).collect();
            return Self::from_tensors(&path.join(TENSORS), words);
        }
        match kind(path)? {
            Kind::Binary => Reader::open(path)?.binary(),
            Kind::Text => Reader::open(path)?.text(),
            Kind::Tensors => {
                let beside = path.with_extension(VOCABULARY);
                let words = fs::read_to_string(&beside).map_err(Error::io(beside))?;
                Self::from_tensors(path, words.lines().map(str::to_owned).collect())
            }
        }
    }

    fn from_tensors(path: &Path, words: Vec<String>) -> Result<Self> {
        let tensor = read_tensors(path, &["vectors"])?.remove(0);
        let wrong = |what: String| Err(damaged(path, what));
        match tensor.shape[..] {
            [rows, width] if rows == words.len() && width > 0 => {}
            _ => {
                return wrong(format!(
                    "tensor vectors is {:?}, expected {} rows, one for each word of the vocabulary",
                    tensor.shape,
                    words.len()
                ));
            }
        }
        match tensor.values.iter().position(|x| !x.is_finite()) {
            Some(at) => wrong(format!(
                "number {at} of tensor vectors is {}",
                tensor.values[at]
            )),
            None => Self::new(words, tensor.values).or_else(|e| wrong(e.to_string())),
        }
    }

    /// Writes a file of the kind that its ending says, see [`read`](Self::read). gensim's `KeyedVectors` and the program
    /// word2vec read the text and the binary one. Beside `NAME.safetensors` goes `NAME.vocabulary.txt`, a word a line.
    ///
    /// # Errors
    /// If it cannot be written, or a word has white space in it.
    pub fn write(&self, path: &Path) -> Result<()> {
        let kind = kind(path)?;
        if let Some(word) = self.words.iter().find(|w| w.contains(char::is_whitespace)) {
            let what =
                format!("word {word:?} has white space in it, which ends a word in such a file");
            return Err(damaged(path, what));
        }
        let file = || {
            File::create(path)
                .map(BufWriter::new)
                .map_err(Error::io(path))
        };
        match kind {
            Kind::Text => self.write_text(file()?).map_err(Error::io(path)),
            Kind::Binary => self.write_binary(file()?).map_err(Error::io(path)),
            Kind::Tensors => {
                let shape = [self.words.len(), self.dimension];
                write_tensors(path, shape, &[("vectors", &self.vectors)])?;
                let beside = path.with_extension(VOCABULARY);
                let text = self.words.join("\n") + "\n";
                fs::write(&beside, text).map_err(Error::io(beside))
            }
        }
    }

    fn write_text(&self, mut file: impl Write) -> std::io::Result<()> {
        writeln!(file, "{} {}", self.words.len(), self.dimension)?;
        for (word, vector) in self
            .words
            .iter()
            .zip(self.vectors.chunks_exact(self.dimension))
        {
            file.write_all(word.as_bytes())?;
            for x in vector {
                write!(file, " {x}")?;
            }
            file.write_all(b"\n")?;
        }
        file.flush()
    }

    fn write_binary(&self, mut file: impl Write) -> std::io::Result<()> {
        writeln!(file, "{} {}", self.words.len(), self.dimension)?;
        for (word, vector) in self
            .words
            .iter()
            .zip(self.vectors.chunks_exact(self.dimension))
        {
            file.write_all(word.as_bytes())?;
            file.write_all(b" ")?;
            for x in vector {
                file.write_all(&x.to_le_bytes())?;
            }
            file.write_all(b"\n")?;
        }
        file.flush()
    }
}

/// Sum of products, in eight chains so that the compiler can use vectors.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    let (a, b) = (a.chunks(8), b.chunks(8));
    for (a, b) in a.zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}

enum Kind {
    Binary,
    Text,
    Tensors,
}

fn kind(path: &Path) -> Result<Kind> {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("bin") => Ok(Kind::Binary),
        Some("txt" | "vec") => Ok(Kind::Text),
        Some("safetensors") => Ok(Kind::Tensors),
        _ => Err(Error::config(
            "path",
            format!(
                "{}: the ending of a file of vectors must be .bin or .txt (word2vec), .vec (the same as .txt) or \
                 .safetensors",
                path.display()
            ),
        )),
    }
}

/// A file of word2vec that is being read. No more memory is asked for than the file has bytes.
struct Reader<'a> {
    path: &'a Path,
    file: BufReader<File>,
    len: u64,
    /// Bytes read so far.
    at: u64,
    words: usize,
    dimension: usize,
}

impl<'a> Reader<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        let len = file.metadata().map_err(Error::io(path))?.len();
        let mut reader = Self {
            path,
            file: BufReader::new(file),
            len,
            at: 0,
            words: 0,
            dimension: 0,
        };
        let line = reader.until(b'\n', 100)?;
        let header = String::from_utf8_lossy(&line).into_owned();
        let mut numbers = header.split_whitespace().map(str::parse::<usize>);
        match (numbers.next(), numbers.next(), numbers.next()) {
            (Some(Ok(words)), Some(Ok(dimension)), None)
                if words > 0 && (1..=WIDEST).contains(&dimension) =>
            {
                (reader.words, reader.dimension) = (words, dimension);
                Ok(reader)
            }
            _ => {
                let start: String = header.trim_end().chars().take(40).collect();
                let what = format!(
                    "line 1: expected the number of words and of numbers in a vector, such as 20000 100; found {start:?}"
                );
                Err(damaged(path, what))
            }
        }
    }

    /// Refuses a header that promises more than the file can hold, of `least` bytes a word.
    fn check_len(&self, least: usize) -> Result<()> {
        let needed = (self.words as u128) * least as u128;
        if needed > u128::from(self.len - self.at) {
            let what = format!(
                "line 1: {} words of {} numbers need {needed} bytes or more; {} follow",
                self.words,
                self.dimension,
                self.len - self.at
            );
            return Err(damaged(self.path, what));
        }
        Ok(())
    }

    /// Bytes up to and without `end`, at most so many.
    fn until(&mut self, end: u8, most: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut limited = (&mut self.file).take(most as u64 + 1);
        let read = limited
            .read_until(end, &mut bytes)
            .map_err(Error::io(self.path))?;
        self.at += read as u64;
        if bytes.last() == Some(&end) {
            bytes.pop();
        }
        Ok(bytes)
    }

    fn binary(mut self) -> Result<WordVectors> {
        self.check_len(2 + 4 * self.dimension)?;
        let mut collected = Collected::new(&self);
        let mut numbers = vec![0; 4 * self.dimension];
        for number in 1..=self.words {
            let start = self.at;
            let mut word = self.until(b' ', LONGEST)?;
            // gensim writes no line ends, the program word2vec does.
            let ends = word.iter().take_while(|&&b| b == b'\n').count();
            word.drain(..ends);
            let wrong = |what: String| {
                let all = self.words;
                Err(damaged(
                    self.path,
                    format!("byte {start}, word {number} of {all}: {what}"),
                ))
            };
            let word = match String::from_utf8(word) {
                Ok(word) if word.is_empty() => {
                    return wrong("the file ends, or has no word".into());
                }
                Ok(word) if word.len() > LONGEST => {
                    return wrong(format!("no space after {LONGEST} bytes"));
                }
                Ok(word) => word,
                Err(_) => return wrong("the word is no UTF-8".into()),
            };
            if let Err(e) = self.file.read_exact(&mut numbers) {
                return wrong(format!("its vector cannot be read: {e}"));
            }
            let values = numbers
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            if let Some((i, x)) = values.clone().enumerate().find(|(_, x)| !x.is_finite()) {
                return wrong(format!("number {} of {word:?} is {x}", i + 1));
            }
            self.at += numbers.len() as u64;
            collected.push(word, values);
        }
        let mut rest = Vec::new();
        let extra = (&mut self.file).take(2).read_to_end(&mut rest);
        extra.map_err(Error::io(self.path))?;
        if rest.iter().any(|&b| b != b'\n') {
            let what = format!(
                "byte {}: the file goes on after the {} words that line 1 says",
                self.at, self.words
            );
            return Err(damaged(self.path, what));
        }
        Ok(collected.finish())
    }

    fn text(mut self) -> Result<WordVectors> {
        self.check_len(1 + 2 * self.dimension)?;
        let mut collected = Collected::new(&self);
        let mut values = Vec::with_capacity(self.dimension);
        let longest = LONGEST + 64 * self.dimension;
        for number in 1..=self.words {
            let bytes = self.until(b'\n', longest)?;
            let wrong =
                |what: String| Err(damaged(self.path, format!("line {}: {what}", number + 1)));
            let Ok(line) = std::str::from_utf8(&bytes) else {
                return wrong("is no UTF-8".into());
            };
            let mut parts = line.trim_end().split(' ');
            let word = parts.next().unwrap_or_default();
            if word.is_empty() {
                let all = self.words;
                return wrong(format!(
                    "expected word {number} of {all}, found the end or none"
                ));
            }
            values.clear();
            for part in parts {
                match part.parse::<f32>() {
                    Ok(x) if x.is_finite() => values.push(x),
                    _ => {
                        let at = values.len() + 1;
                        let shown: String = part.chars().take(20).collect();
                        return wrong(format!("number {at} of {word:?} is {shown:?}"));
                    }
                }
            }
            if values.len() != self.dimension {
                let (found, expected) = (values.len(), self.dimension);
                return wrong(format!("{word:?} has {found} numbers, expected {expected}"));
            }
            collected.push(word.to_owned(), values.iter().copied());
        }
        let rest = self.until(b'\n', longest)?;
        if !rest.iter().all(u8::is_ascii_whitespace) {
            let line = self.words + 2;
            let what = format!(
                "line {line}: there are more words than the {} of line 1",
                self.words
            );
            return Err(damaged(self.path, what));
        }
        Ok(collected.finish())
    }
}

/// Words as they are read.
struct Collected {
    words: Vec<String>,
    indices: HashMap<String, usize>,
    vectors: Vec<f32>,
    dimension: usize,
}

impl Collected {
    /// Room for what the header says, which was compared with the length of the file.
    fn new(reader: &Reader<'_>) -> Self {
        Self {
            words: Vec::with_capacity(reader.words),
            indices: HashMap::with_capacity(reader.words),
            vectors: Vec::with_capacity(reader.words * reader.dimension),
            dimension: reader.dimension,
        }
    }

    fn push(&mut self, word: String, values: impl Iterator<Item = f32>) {
        if !self.indices.contains_key(&word) {
            self.indices.insert(word.clone(), self.words.len());
            self.words.push(word);
            self.vectors.extend(values);
        }
    }

    fn finish(self) -> WordVectors {
        WordVectors {
            words: self.words,
            indices: self.indices,
            vectors: self.vectors,
            dimension: self.dimension,
        }
    }
}

/// A tensor that was read.
pub(crate) struct Tensor {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

/// Writes tensors, all of `shape`.
pub(crate) fn write_tensors(
    path: &Path,
    shape: [usize; 2],
    tensors: &[(&str, &[f32])],
) -> Result<()> {
    let backend = |e: safetensors::SafeTensorError| Error::Backend(Box::new(e));
    let bytes: Vec<(&str, Vec<u8>)> = tensors
        .iter()
        .map(|(name, values)| (*name, values.iter().flat_map(|x| x.to_le_bytes()).collect()))
        .collect();
    let views = bytes.iter().map(|(name, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.to_vec(), bytes).map_err(backend)?;
        Ok((Cow::Borrowed(*name), view))
    });
    let views: Vec<(Cow<'_, str>, TensorView<'_>)> = views.collect::<Result<_>>()?;
    let all = safetensors::serialize(views, None).map_err(backend)?;
    fs::write(path, all).map_err(Error::io(path))
}

/// Reads the tensors called `names`.
pub(crate) fn read_tensors(path: &Path, names: &[&str]) -> Result<Vec<Tensor>> {
    let bytes = fs::read(path).map_err(Error::io(path))?;
    let tensors = SafeTensors::deserialize(&bytes)
        .map_err(|e| damaged(path, format!("is no safetensors file: {e}")))?;
    let read = |name: &&str| {
        let tensor = tensors
            .tensor(name)
            .map_err(|_| damaged(path, format!("has no tensor {name:?}")))?;
        if tensor.dtype() != Dtype::F32 {
            let what = format!("tensor {name:?} is {:?}, expected F32", tensor.dtype());
            return Err(damaged(path, what));
        }
        let numbers = tensor.data().chunks_exact(4);
        Ok(Tensor {
            shape: tensor.shape().to_vec(),
            values: numbers
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect(),
        })
    };
    names.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toy() -> WordVectors {
        let words = ["king", "queen", "man", "woman", "é_x"].map(str::to_owned);
        let vectors = vec![
            1.0, 1.0, 0.1, // king
            1.0, -1.0, 0.1, // queen
            0.1, 1.0, 0.0, // man
            0.1, -1.0, 0.0, // woman
            -1.0, 0.0, 1.0e-7, // é_x
        ];
        WordVectors::new(words.into(), vectors).unwrap()
    }

    #[test]
    fn every_kind_of_file_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.txt", "a.bin", "a.vec", "a.safetensors"] {
            let path = folder.path().join(name);
            toy().write(&path).unwrap();
            assert_eq!(WordVectors::read(&path).unwrap(), toy(), "{name}");
        }
    }

    #[test]
    fn files_have_the_bytes_that_word2vec_writes() {
        let folder = tempfile::tempdir().unwrap();
        let words = vec!["a".to_owned(), "b".to_owned()];
        let vectors = WordVectors::new(words, vec![1.0, -0.5, 0.25, 2.0]).unwrap();
        let (text, binary) = (folder.path().join("v.txt"), folder.path().join("v.bin"));
        vectors.write(&text).unwrap();
        vectors.write(&binary).unwrap();
        assert_eq!(
            fs::read_to_string(&text).unwrap(),
            "2 2\na 1 -0.5\nb 0.25 2\n"
        );
        let expected = b"2 2\na \0\0\x80\x3f\0\0\0\xbf\nb \0\0\x80\x3e\0\0\0\x40\n";
        assert_eq!(fs::read(&binary).unwrap(), expected);
        // gensim leaves the line ends out, and ends lines of text with a space or not.
        fs::write(
            &binary,
            b"2 2\na \0\0\x80\x3f\0\0\0\xbfb \0\0\x80\x3e\0\0\0\x40",
        )
        .unwrap();
        fs::write(&text, "2 2\na 1.0 -0.5 \nb 2.5e-1 2\n").unwrap();
        assert_eq!(WordVectors::read(&text).unwrap(), vectors);
        assert_eq!(WordVectors::read(&binary).unwrap(), vectors);
    }

    #[test]
    fn a_word_that_is_there_twice_keeps_its_first_vector() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.txt");
        fs::write(&path, "3 1\na 1\na 2\nb 3\n").unwrap();
        let vectors = WordVectors::read(&path).unwrap();
        assert_eq!(
            (vectors.words(), vectors.as_slice()),
            (&["a".to_owned(), "b".to_owned()][..], &[1.0, 3.0][..])
        );
    }

    #[test]
    fn damaged_files_are_refused_with_the_place() {
        let folder = tempfile::tempdir().unwrap();
        let one = b"1 1\na \0\0\x80\x3f";
        let more = [&one[..], b"\nbb"].concat();
        for (name, bytes, what) in [
            ("a.txt", &b""[..], "line 1: expected the number of words"),
            (
                "a.txt",
                b"one two\n",
                "line 1: expected the number of words and of numbers in a vector",
            ),
            ("a.txt", b"1 0\na\n", "line 1: expected the number of words"),
            (
                "a.txt",
                b"9999999999999 9\na 1\n",
                "line 1: 9999999999999 words of 9 numbers need",
            ),
            (
                "a.bin",
                b"18446744073709551615 1000000\na 1\n",
                "line 1: 18446744073709551615 words",
            ),
            (
                "a.txt",
                b"2 2\na 1 2\nb 1 2 3\n",
                "line 3: \"b\" has 3 numbers, expected 2",
            ),
            (
                "a.txt",
                b"2 2\na 1 2\nbbbbbb\n",
                "line 3: \"bbbbbb\" has 0 numbers",
            ),
            (
                "a.txt",
                b"2 2\na 1 2.00000000\n",
                "line 3: expected word 2 of 2, found the end",
            ),
            (
                "a.txt",
                b"1 2\na 1 nan\n",
                "line 2: number 2 of \"a\" is \"nan\"",
            ),
            ("a.txt", b"1 2\n\xff 1 2\n", "line 2: is no UTF-8"),
            (
                "a.txt",
                b"1 1\na 1\nb 2\n",
                "line 3: there are more words than the 1 of line 1",
            ),
            (
                "a.bin",
                b"1 1\na \0\0\xc0\x7f",
                "byte 4, word 1 of 1: number 1 of \"a\" is NaN",
            ),
            (
                "a.bin",
                b"1 1\n\xff \0\0\0\0",
                "byte 4, word 1 of 1: the word is no UTF-8",
            ),
            (
                "a.bin",
                b"1 1\nabcdef\0\0",
                "byte 4, word 1 of 1: its vector cannot be read",
            ),
            (
                "a.bin",
                &more,
                "byte 10: the file goes on after the 1 words",
            ),
            ("a.safetensors", b"12345678", "is no safetensors file"),
            (
                "a.png",
                b"",
                "the ending of a file of vectors must be .bin or .txt",
            ),
        ] {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            fs::write(path.with_extension(VOCABULARY), "a\n").unwrap();
            let message = WordVectors::read(&path).unwrap_err().to_string();
            assert!(message.contains(what), "{what} is not in {message}");
            assert!(!message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn the_nearest_words_and_the_fourth_of_an_analogy_are_found() {
        let vectors = toy();
        assert_eq!(vectors.nearest("king", 1).unwrap()[0].word, "man");
        let near = vectors.analogy("man", "king", "woman", 2).unwrap();
        assert_eq!(near[0].word, "queen");
        let cosine = vectors.similarity("king", "man").unwrap();
        // (0.1 + 1) / sqrt(2.01 * 1.01), to the rounding of three products.
        assert!((cosine - 1.1 / (2.01_f32 * 1.01).sqrt()).abs() < 1e-6);
        let message = vectors.nearest("King", 1).unwrap_err().to_string();
        assert_eq!(
            message,
            "word: \"King\" is not one of the 5 words; did you mean \"king\"?"
        );
    }
}
