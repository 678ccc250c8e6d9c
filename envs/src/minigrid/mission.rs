//! What an episode asks for, in words.

use serde::{Deserialize, Serialize};

use super::cell::{Cell, Color, Kind};

/// Words of the longest mission: "use the key to open the door and then get to the goal".
pub const MISSION_WORDS: usize = 13;

/// The words behind the token numbers of all levels; 0 stands for no word.
pub const VOCABULARY: [&str; 50] = [
    "<pad>", "a", "and", "at", "avoid", "ball", "behind", "blue", "box", "door", "end", "fetch",
    "find", "front", "get", "go", "goal", "green", "grey", "hallway", "in", "key", "lava", "left",
    "matching", "must", "near", "next", "object", "of", "on", "open", "opening", "pick", "purple",
    "put", "reach", "red", "right", "rooms", "square", "the", "then", "to", "traverse", "up",
    "use", "yellow", "you", "your",
];

/// Up to thirteen words, by their numbers in [`VOCABULARY`]; the rest is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mission {
    /// Token numbers.
    pub tokens: [u8; MISSION_WORDS],
}

impl Mission {
    /// The mission that `text` spells, words apart by one space.
    ///
    /// # Panics
    /// If a word is not in the vocabulary, or there are too many: while the program is compiled, where it is
    /// a constant.
    pub const fn new(text: &str) -> Self {
        let text = text.as_bytes();
        let mut tokens = [0; MISSION_WORDS];
        let (mut count, mut start) = (0, 0);
        while start < text.len() {
            let mut end = start;
            while end < text.len() && text[end] != b' ' {
                end += 1;
            }
            tokens[count] = token(text, start, end);
            count += 1;
            start = end + 1;
        }
        Self { tokens }
    }

    /// This mission with the words of `more` behind it.
    ///
    /// # Panics
    /// If these are too many.
    #[must_use]
    pub fn then(mut self, more: Self) -> Self {
        let count = |mission: &Self| mission.tokens.iter().take_while(|&&t| t != 0).count();
        let (here, there) = (count(&self), count(&more));
        self.tokens[here..here + there].copy_from_slice(&more.tokens[..there]);
        self
    }

    /// One word: a colour.
    pub fn color(color: Color) -> Self {
        const COLORS: [Mission; 6] = [
            Mission::new("red"),
            Mission::new("green"),
            Mission::new("blue"),
            Mission::new("purple"),
            Mission::new("yellow"),
            Mission::new("grey"),
        ];
        COLORS[color as usize]
    }

    /// One word: a kind of thing that missions speak of; "object" for all others.
    pub fn kind(kind: Kind) -> Self {
        const KINDS: [Mission; 5] = [
            Mission::new("door"),
            Mission::new("key"),
            Mission::new("ball"),
            Mission::new("box"),
            Mission::new("object"),
        ];
        KINDS[(kind as usize).wrapping_sub(Kind::Door as usize).min(4)]
    }

    /// Two words: colour and kind of a thing.
    pub fn thing(cell: Cell) -> Self {
        Self::color(cell.color()).then(Self::kind(cell.kind()))
    }

    /// Its words.
    pub fn text(&self) -> String {
        let words = self.tokens.iter().filter(|&&token| token != 0);
        let words = words.map(|&token| VOCABULARY.get(usize::from(token)).unwrap_or(&"?"));
        words.copied().collect::<Vec<_>>().join(" ")
    }
}

/// The number of the word `text[start..end]`.
const fn token(text: &[u8], start: usize, end: usize) -> u8 {
    let mut token = 1;
    while token < VOCABULARY.len() {
        let word = VOCABULARY[token].as_bytes();
        let mut same = 0;
        while same < word.len() && start + same < end && word[same] == text[start + same] {
            same += 1;
        }
        if same == word.len() && start + same == end {
            return token as u8;
        }
        token += 1;
    }
    panic!("a word that is not in the vocabulary")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vocabulary_is_sorted_behind_the_padding() {
        assert_eq!(VOCABULARY[0], "<pad>");
        assert!(VOCABULARY[1..].is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn missions_read_as_they_were_written() {
        let text = "use the key to open the door and then get to the goal";
        assert_eq!(Mission::new(text).text(), text);
        let mission = Mission::new("go to the").then(Mission::new("red ball"));
        assert_eq!(mission, Mission::new("go to the red ball"));
        assert_eq!(mission.tokens[5..], [0; 8]);
    }

    #[test]
    #[should_panic(expected = "not in the vocabulary")]
    fn parts_of_words_are_no_words() {
        let _ = Mission::new("go to the doo");
    }
}
