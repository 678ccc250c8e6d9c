//! Text as words and ends of sentences.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};
use thorndike_core::{Error, Result};

use crate::{damaged, missing};

/// What a word is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tokens {
    /// A run of letters, in lower case.
    #[default]
    Letters,
    /// A run of `a` to `z` in the text in lower case.
    AsciiLetters,
    /// What is between white space, as it stands; what the program word2vec takes.
    Space,
}

/// What a sentence is. No window reaches over its ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sentences {
    /// A line.
    #[default]
    Lines,
    /// Lines up to an empty one.
    Paragraphs,
}

/// A piece of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// A word.
    Word(&'a str),
    /// The end of a sentence. There may be several with no word between.
    End,
}

/// Bytes of a word; what is longer is cut off.
const LONGEST: usize = 200;
/// Bytes read at a time.
const PIECE: usize = 1 << 16;

/// The files that `paths` name: a file as it is, and of a folder those that end in `.txt`, `.txt.gz` or `.gz`, by name.
///
/// # Errors
/// If one is missing, or a folder has none.
pub(crate) fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.exists() {
            return Err(missing(path).under("path"));
        }
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut inside = Vec::new();
        for entry in path.read_dir().map_err(Error::io(path))? {
            let file = entry.map_err(Error::io(path))?.path();
            let is_text = file.extension().is_some_and(|e| e == "txt" || e == "gz");
            if is_text && file.is_file() {
                inside.push(file);
            }
        }
        if inside.is_empty() {
            let what = format!("{} holds no .txt or .gz files", path.display());
            return Err(Error::config("path", what));
        }
        inside.sort();
        files.append(&mut inside);
    }
    if files.is_empty() {
        return Err(Error::config("path", "give files or folders of text"));
    }
    Ok(files)
}

/// Hands each word and each end of a sentence of the file at `path` to `each`; a file that ends in `.gz` is unpacked.
///
/// # Errors
/// If it cannot be read or is no UTF-8, with the line.
pub(crate) fn read(
    path: &Path,
    tokens: Tokens,
    sentences: Sentences,
    mut each: impl FnMut(Token<'_>) -> Result<()>,
) -> Result<()> {
    let file = File::open(path).map_err(Error::io(path))?;
    let mut reader: Box<dyn Read> = if path.extension().is_some_and(|e| e == "gz") {
        Box::new(MultiGzDecoder::new(BufReader::new(file)))
    } else {
        Box::new(file)
    };
    let mut splitter = Splitter {
        tokens,
        sentences,
        word: String::with_capacity(LONGEST),
        line: 1,
        is_blank: true,
    };
    let mut piece = vec![0; PIECE];
    let mut held = 0;
    loop {
        let read = reader.read(&mut piece[held..]).map_err(Error::io(path))?;
        let len = held + read;
        let whole = match std::str::from_utf8(&piece[..len]) {
            Ok(text) => text,
            // A letter that the next piece has the rest of.
            Err(e) if e.error_len().is_none() && read > 0 => {
                std::str::from_utf8(&piece[..e.valid_up_to()]).expect("just found valid")
            }
            Err(e) => {
                let before = &piece[..e.valid_up_to()];
                let line = splitter.line + before.iter().filter(|&&b| b == b'\n').count() as u64;
                let what = format!("line {line}: is no UTF-8; convert the file to UTF-8");
                return Err(damaged(path, what));
            }
        };
        splitter.split(whole, &mut each)?;
        let done = whole.len();
        piece.copy_within(done..len, 0);
        held = len - done;
        if read == 0 {
            splitter.end_word(&mut each)?;
            return each(Token::End);
        }
    }
}

/// Where in a file the reading is.
struct Splitter {
    tokens: Tokens,
    sentences: Sentences,
    word: String,
    line: u64,
    /// Whether nothing but white space was in this line.
    is_blank: bool,
}

impl Splitter {
    fn split(&mut self, text: &str, each: &mut impl FnMut(Token<'_>) -> Result<()>) -> Result<()> {
        for c in text.chars() {
            if c == '\n' {
                self.end_word(each)?;
                if self.sentences == Sentences::Lines || self.is_blank {
                    each(Token::End)?;
                }
                self.line += 1;
                self.is_blank = true;
                continue;
            }
            let is_space = c.is_whitespace();
            self.is_blank &= is_space;
            match self.tokens {
                Tokens::Space if !is_space => self.push(c),
                Tokens::Letters | Tokens::AsciiLetters if c.is_ascii_alphabetic() => {
                    self.push(c.to_ascii_lowercase());
                }
                Tokens::Letters if c.is_alphabetic() => {
                    c.to_lowercase().for_each(|c| self.push(c));
                }
                // The letters that lower case makes ASCII of: the Kelvin sign, and the dotted capital I.
                Tokens::AsciiLetters if !c.is_ascii() => {
                    for c in c.to_lowercase() {
                        match c {
                            'a'..='z' => self.push(c),
                            _ => self.end_word(each)?,
                        }
                    }
                }
                _ => self.end_word(each)?,
            }
        }
        Ok(())
    }

    fn push(&mut self, c: char) {
        if self.word.len() + c.len_utf8() <= LONGEST {
            self.word.push(c);
        }
    }

    fn end_word(&mut self, each: &mut impl FnMut(Token<'_>) -> Result<()>) -> Result<()> {
        if !self.word.is_empty() {
            each(Token::Word(&self.word))?;
            self.word.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// Words apart by spaces, ends as bars.
    fn split(bytes: &[u8], tokens: Tokens, sentences: Sentences) -> Result<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text.txt");
        std::fs::write(&path, bytes).unwrap();
        show(&path, tokens, sentences)
    }

    fn show(path: &Path, tokens: Tokens, sentences: Sentences) -> Result<String> {
        let mut shown = Vec::new();
        read(path, tokens, sentences, |token| {
            shown.push(match token {
                Token::Word(word) => word.to_owned(),
                Token::End => "|".to_owned(),
            });
            Ok(())
        })?;
        Ok(shown.join(" "))
    }

    #[test]
    fn words_and_sentences_are_what_the_settings_say() {
        let text = "The Café's\nend.\r\n \nNew_part 2".as_bytes();
        for (tokens, sentences, expected) in [
            (
                Tokens::Letters,
                Sentences::Lines,
                "the café s | end | | new part |",
            ),
            (
                Tokens::AsciiLetters,
                Sentences::Paragraphs,
                "the caf s end | new part |",
            ),
            (
                Tokens::Space,
                Sentences::Paragraphs,
                "The Café's end. | New_part 2 |",
            ),
        ] {
            assert_eq!(split(text, tokens, sentences).unwrap(), expected);
        }
    }

    #[test]
    fn letters_and_words_over_the_ends_of_pieces_stay_whole() {
        // Letters of two bytes at odd places, so that a piece ends in the middle of one.
        let text = format!("a{}\nend", "é é".repeat(PIECE));
        let shown = split(text.as_bytes(), Tokens::Letters, Sentences::Lines).unwrap();
        let expected = format!("aé {}é | end |", "éé ".repeat(PIECE - 1));
        assert!(shown == expected);
    }

    #[test]
    fn text_that_is_no_utf8_is_refused_with_the_line() {
        let mut long = "word\n".repeat(PIECE).into_bytes();
        long.extend(b"caf\xe9 noir\n");
        for (bytes, line) in [
            (&b"one\ntwo \xff\n"[..], 2),
            (b"caf\xc3", 1),
            (&long, PIECE + 1),
        ] {
            let error = split(bytes, Tokens::Space, Sentences::Lines).unwrap_err();
            let message = error.to_string();
            assert!(
                message.contains(&format!(": line {line}: is no UTF-8")),
                "{message}"
            );
        }
    }

    #[test]
    fn packed_files_are_read_as_plain_ones_and_folders_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.txt.gz");
        let file = File::create(&path).unwrap();
        let mut packer = flate2::write::GzEncoder::new(file, Default::default());
        packer.write_all(b"two words\n").unwrap();
        packer.finish().unwrap();
        std::fs::write(folder.path().join("a.txt"), "one").unwrap();
        std::fs::write(folder.path().join("README.md"), "no text").unwrap();
        let found = files(&[folder.path().to_owned()]).unwrap();
        let shown: Vec<String> = found
            .iter()
            .map(|path| show(path, Tokens::Space, Sentences::Lines).unwrap())
            .collect();
        assert_eq!(shown, ["one |", "two words | |"]);
    }

    #[test]
    fn a_word_of_any_length_takes_little_memory() {
        let text = "x".repeat(3 * PIECE) + " y";
        let shown = split(text.as_bytes(), Tokens::Space, Sentences::Lines).unwrap();
        assert_eq!(shown, format!("{} y |", "x".repeat(LONGEST)));
    }
}
