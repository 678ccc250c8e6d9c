//! What `text-world` says: sentences with the same meaning, in words that share one vocabulary.

use serde::{Deserialize, Serialize};

/// Which sentences are said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Paraphrases {
    /// Those to train with, four for each meaning.
    #[default]
    Train,
    /// Two for each meaning that are not trained with, made of words that are.
    HeldBack,
    /// Two for each meaning with at least one word that is in none to train with.
    NewWords,
    /// All of them.
    All,
}

/// Rooms, row by row.
pub(super) const ROOMS: [&str; 6] = ["kitchen", "hall", "library", "cellar", "garden", "attic"];
/// Things that can be carried.
pub(super) const OBJECTS: [&str; 4] = ["lamp", "key", "book", "cup"];
/// Directions, in the order of the actions.
pub(super) const DIRECTIONS: [&str; 4] = ["north", "east", "south", "west"];

/// Sentences of one meaning: `R` stands for a room, `O` for an object, `D` for directions.
struct Meaning {
    train: [&'static str; 4],
    held_back: [&'static str; 2],
    new_words: [&'static str; 2],
}

/// What can be said; the numbers are places in [`MEANINGS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Say {
    GoalVisit,
    GoalTake,
    GoalBring,
    GoalOpen,
    ObjectIsInRoom,
    ObjectIsInChest,
    ChestIsInRoom,
    Room,
    Exits,
    Object,
    ClosedChest,
    OpenChest,
    InChest,
    Carry,
    CarryNothing,
}

const MEANINGS: [Meaning; 15] = [
    Meaning {
        train: [
            "go to the R",
            "walk to the R",
            "find your way to the R",
            "the R is where you must go",
        ],
        held_back: ["you must walk to the R", "find the R and go there"],
        new_words: ["proceed towards the R", "enter the R"],
    },
    Meaning {
        train: [
            "take the O",
            "pick up the O",
            "get hold of the O",
            "you must have the O",
        ],
        held_back: ["you must pick up the O", "get the O"],
        new_words: ["seize the O", "obtain the O"],
    },
    Meaning {
        train: [
            "bring the O to the R",
            "carry the O to the R",
            "put the O into the R",
            "the R is where the O must be",
        ],
        held_back: ["you must bring the O to the R", "take the O to the R"],
        new_words: ["deliver the O to the R", "place the O inside the R"],
    },
    Meaning {
        train: [
            "open the chest",
            "lift the lid of the chest",
            "find out what the chest holds",
            "the lid of the chest must be up",
        ],
        held_back: ["you must open the chest", "the chest must be open"],
        new_words: ["raise the lid of the chest", "the chest must be opened"],
    },
    Meaning {
        train: [
            "the O is in the R",
            "you will find the O in the R",
            "someone left the O in the R",
            "look for the O in the R",
        ],
        held_back: ["in the R you will find the O", "in the R is the O"],
        new_words: ["the O rests in the R", "someone placed the O in the R"],
    },
    Meaning {
        train: [
            "the O is in the chest",
            "you will find the O in the chest",
            "someone left the O in the chest",
            "the chest holds the O",
        ],
        held_back: [
            "in the chest you will find the O",
            "look for the O in the chest",
        ],
        new_words: ["the O rests inside the chest", "the chest contains the O"],
    },
    Meaning {
        train: [
            "the chest is in the R",
            "you will find the chest in the R",
            "the chest stands in the R",
            "look for the chest in the R",
        ],
        held_back: ["in the R stands the chest", "in the R is the chest"],
        new_words: [
            "the chest sits in the R",
            "you will notice the chest in the R",
        ],
    },
    Meaning {
        train: [
            "you are in the R",
            "you stand in the R",
            "this is the R",
            "around you is the R",
        ],
        held_back: ["the R is around you", "in the R you stand"],
        new_words: ["you entered the R", "you are within the R"],
    },
    Meaning {
        train: [
            "you can go D",
            "ways lead D",
            "from here you can walk D",
            "there are doors D",
        ],
        held_back: ["from here ways lead D", "here are doors D"],
        new_words: ["passages lead D", "you may proceed D"],
    },
    Meaning {
        train: [
            "there is a O here",
            "you see a O",
            "a O lies here",
            "here is a O",
        ],
        held_back: ["here lies a O", "here you see a O"],
        new_words: ["you notice a O here", "a O sits here"],
    },
    Meaning {
        train: [
            "there is a closed chest here",
            "you see a closed chest",
            "a chest stands here and it is closed",
            "here is a closed chest",
        ],
        held_back: [
            "here stands a closed chest",
            "you see a chest and it is closed",
        ],
        new_words: ["there is a shut chest here", "you notice a closed chest"],
    },
    Meaning {
        train: [
            "there is an open chest here",
            "you see an open chest",
            "a chest stands here and it is open",
            "here is an open chest",
        ],
        held_back: [
            "here stands an open chest",
            "you see a chest and it is open",
        ],
        new_words: ["there is an opened chest here", "you notice an open chest"],
    },
    Meaning {
        train: [
            "in the chest is a O",
            "the chest holds a O",
            "a O lies in the chest",
            "in the chest you see a O",
        ],
        held_back: ["there is a O in the chest", "in the chest lies a O"],
        new_words: ["inside the chest is a O", "the chest contains a O"],
    },
    Meaning {
        train: [
            "you carry the O",
            "you have the O",
            "you hold the O",
            "the O is in your hand",
        ],
        held_back: ["in your hand is the O", "in your hand you have the O"],
        new_words: ["you are holding the O", "you bear the O"],
    },
    Meaning {
        train: [
            "you carry nothing",
            "your hand is empty",
            "you have nothing",
            "there is nothing in your hand",
        ],
        held_back: ["you hold nothing", "in your hand is nothing"],
        new_words: ["you are holding nothing", "your hand is free"],
    },
];

/// A piece of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Word(i32),
    Room,
    Object,
    Directions,
}

/// All words, and the sentences of one choice as pieces.
#[derive(Clone, Debug)]
pub(super) struct Phrases {
    /// Token `i` is word `i`; token 0 fills up what is left of a row.
    pub(super) vocabulary: Vec<String>,
    sentences: Vec<Vec<Vec<Piece>>>,
    rooms: [i32; ROOMS.len()],
    objects: [i32; OBJECTS.len()],
    directions: [i32; DIRECTIONS.len()],
    /// End of a sentence.
    stop: i32,
    and: i32,
}

impl Phrases {
    /// The sentences of `which`; the vocabulary is the same for all.
    pub(super) fn new(which: Paraphrases) -> Self {
        let mut words: Vec<&str> = MEANINGS
            .iter()
            .flat_map(|meaning| meaning.sentences(Paraphrases::All))
            .flat_map(str::split_whitespace)
            .filter(|word| !["R", "O", "D"].contains(word))
            .chain(ROOMS)
            .chain(OBJECTS)
            .chain(DIRECTIONS)
            .chain(["<pad>", "."])
            .collect();
        // Signs sort before letters, and "." before "<".
        words.sort_unstable_by_key(|&word| (word != "<pad>", word));
        words.dedup();
        let token = |word: &str| {
            let place = words.iter().position(|&known| known == word);
            place.expect("all words have been collected") as i32
        };
        let pieces = |sentence: &str| {
            let words = sentence.split_whitespace();
            let pieces = words.map(|word| match word {
                "R" => Piece::Room,
                "O" => Piece::Object,
                "D" => Piece::Directions,
                word => Piece::Word(token(word)),
            });
            pieces.collect()
        };
        let sentences = MEANINGS.iter().map(|meaning| {
            let sentences = meaning.sentences(which);
            sentences.map(pieces).collect()
        });
        Self {
            sentences: sentences.collect(),
            rooms: ROOMS.map(token),
            objects: OBJECTS.map(token),
            directions: DIRECTIONS.map(token),
            stop: token("."),
            and: token("and"),
            vocabulary: words.into_iter().map(str::to_owned).collect(),
        }
    }

    /// Tokens of the longest sentence about any of `meanings`, of all.
    pub(super) fn longest(meanings: &[Say]) -> usize {
        let sentences = meanings
            .iter()
            .flat_map(|&say| MEANINGS[say as usize].sentences(Paraphrases::All));
        let tokens = sentences.map(|sentence| {
            let words = sentence.split_whitespace();
            // Four directions with "and" between them, and the stop.
            1 + words
                .map(|word| if word == "D" { 7 } else { 1 })
                .sum::<usize>()
        });
        tokens.max().unwrap_or(0)
    }
}

impl Meaning {
    fn sentences(&self, which: Paraphrases) -> impl Iterator<Item = &'static str> + use<> {
        let (train, held_back, new_words) = match which {
            Paraphrases::Train => (4, 0, 0),
            Paraphrases::HeldBack => (0, 2, 0),
            Paraphrases::NewWords => (0, 0, 2),
            Paraphrases::All => (4, 2, 2),
        };
        let Self {
            train: [a, b, c, d],
            held_back: [e, f],
            new_words: [g, h],
        } = *self;
        let train = [a, b, c, d].into_iter().take(train);
        let held_back = [e, f].into_iter().take(held_back);
        train
            .chain(held_back)
            .chain([g, h].into_iter().take(new_words))
    }
}

/// What a sentence is about.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct About {
    pub(super) room: u8,
    pub(super) object: u8,
    /// Which of the four directions.
    pub(super) directions: [bool; 4],
}

/// Writes sentences as tokens, one after the other.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    phrases: &'a Phrases,
    tokens: &'a mut [i32],
    len: usize,
    /// Five bits for each sentence to come choose its wording.
    wording: u64,
}

impl<'a> Writer<'a> {
    pub(super) fn new(phrases: &'a Phrases, tokens: &'a mut [i32]) -> Self {
        Self {
            phrases,
            tokens,
            len: 0,
            wording: 0,
        }
    }

    /// The sentences to come are worded by `wording`.
    pub(super) fn word_by(&mut self, wording: u64) {
        self.wording = wording;
    }

    pub(super) fn say(&mut self, say: Say, about: About) {
        let phrases = self.phrases;
        let sentences = &phrases.sentences[say as usize];
        let choice = ((self.wording & 31) as usize * sentences.len()) >> 5;
        self.wording = self.wording.rotate_right(5);
        for &piece in &sentences[choice] {
            match piece {
                Piece::Word(word) => self.put(word),
                Piece::Room => self.put(phrases.rooms[usize::from(about.room) % ROOMS.len()]),
                Piece::Object => {
                    self.put(phrases.objects[usize::from(about.object) % OBJECTS.len()]);
                }
                Piece::Directions => self.put_directions(about.directions),
            }
        }
        self.put(phrases.stop);
    }

    fn put_directions(&mut self, directions: [bool; 4]) {
        let mut first = true;
        for (word, _) in self
            .phrases
            .directions
            .into_iter()
            .zip(directions)
            .filter(|pair| pair.1)
        {
            if !first {
                self.put(self.phrases.and);
            }
            first = false;
            self.put(word);
        }
    }

    fn put(&mut self, token: i32) {
        if let Some(place) = self.tokens.get_mut(self.len) {
            *place = token;
            self.len += 1;
        }
    }

    /// Fills up the row.
    pub(super) fn finish(self) {
        self.tokens[self.len..].fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn sentences_of_one_meaning_have_the_same_blanks_and_no_sentence_has_two_meanings() {
        let mut all = BTreeSet::new();
        for meaning in &MEANINGS {
            let blanks = |sentence: &str| -> BTreeSet<String> {
                let words = sentence.split_whitespace().map(str::to_owned);
                words
                    .filter(|word| ["R", "O", "D"].contains(&word.as_str()))
                    .collect()
            };
            let expected = blanks(meaning.train[0]);
            for sentence in meaning.sentences(Paraphrases::All) {
                assert_eq!(blanks(sentence), expected, "{sentence}");
                assert!(all.insert(sentence), "twice: {sentence}");
            }
        }
    }

    #[test]
    fn held_back_sentences_have_no_word_that_was_not_trained_with() {
        let words = |which| -> BTreeSet<&str> {
            let sentences = MEANINGS.iter().flat_map(|meaning| meaning.sentences(which));
            sentences.flat_map(str::split_whitespace).collect()
        };
        let (known, held_back) = (words(Paraphrases::Train), words(Paraphrases::HeldBack));
        let unknown: Vec<_> = held_back.difference(&known).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    #[test]
    fn sentences_of_new_words_have_each_one_that_was_not_trained_with() {
        let sentences = MEANINGS
            .iter()
            .flat_map(|meaning| meaning.sentences(Paraphrases::Train));
        let known: BTreeSet<&str> = sentences.flat_map(str::split_whitespace).collect();
        for meaning in &MEANINGS {
            for sentence in meaning.sentences(Paraphrases::NewWords) {
                let mut words = sentence.split_whitespace();
                assert!(words.any(|word| !known.contains(word)), "{sentence}");
            }
        }
    }

    #[test]
    fn the_vocabulary_is_shared_sorted_and_begins_with_the_filler() {
        let of = |which| Phrases::new(which).vocabulary;
        let all = of(Paraphrases::All);
        assert_eq!(all, of(Paraphrases::Train));
        assert_eq!(all, of(Paraphrases::HeldBack));
        assert_eq!(all, of(Paraphrases::NewWords));
        assert_eq!(all[0], "<pad>");
        assert!(all[1..].is_sorted());
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }

    #[test]
    fn every_wording_is_chosen() {
        let phrases = Phrases::new(Paraphrases::All);
        let mut seen = BTreeSet::new();
        for wording in 0..32 {
            let mut tokens = [0; 12];
            let mut writer = Writer::new(&phrases, &mut tokens);
            writer.word_by(wording);
            writer.say(Say::GoalVisit, About::default());
            writer.finish();
            seen.insert(tokens);
        }
        assert_eq!(seen.len(), 8);
    }
}
