//! Entities in sequences of tags.

use std::collections::BTreeMap;
use std::ops::Range;

use super::classes::{ClassScore, quotient};
use crate::IGNORED;

/// Tags such as `O`, `B-PER` and `I-PER`: outside, the first word of an entity, and a further one.
#[derive(Clone, Debug, PartialEq)]
pub struct Tags {
    /// Of each tag: none outside, else whether it begins an entity and the number of its type.
    tags: Vec<Option<(bool, usize)>>,
    types: Vec<String>,
}

/// How tags that break the rules are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheme {
    /// As the `conlleval` script does: an entity begins wherever its type does, with `B-` or without.
    #[default]
    Conll,
    /// An entity begins with `B-` and goes on with `I-` of the same type; other tags are outside (IOB2).
    Strict,
}

/// An entity of a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    /// Number of its type.
    pub kind: usize,
    /// Its words.
    pub words: Range<usize>,
}

impl Tags {
    /// The tags with these names; `None` unless all are `O`, `B-` or `I-` and a type, and each type can begin.
    pub fn of(names: &[String]) -> Option<Self> {
        let mut types = BTreeMap::new();
        let split = |name: &String| match name.as_str() {
            "O" => Some(None),
            name => match name.split_once('-')? {
                (_, "") => None,
                ("B", kind) => Some(Some((true, kind.to_owned()))),
                ("I", kind) => Some(Some((false, kind.to_owned()))),
                _ => None,
            },
        };
        let parts: Vec<Option<(bool, String)>> = names.iter().map(split).collect::<Option<_>>()?;
        for (begins, kind) in parts.iter().flatten() {
            *types.entry(kind.clone()).or_insert(false) |= begins;
        }
        if types.is_empty() || types.values().any(|begins| !begins) || !parts.contains(&None) {
            return None;
        }
        let types: Vec<String> = types.into_keys().collect();
        let number = |(begins, kind): (bool, String)| {
            let at = types.binary_search(&kind).expect("all types are there");
            (begins, at)
        };
        let tags = parts.into_iter().map(|part| part.map(number)).collect();
        Some(Self { tags, types })
    }

    /// Names of the types, in alphabetical order.
    pub fn types(&self) -> &[String] {
        &self.types
    }

    /// The entities of a sequence of tags, by their numbers; an [`IGNORED`] one is outside.
    ///
    /// # Panics
    /// If there is no such tag.
    pub fn entities(&self, sequence: &[i32], scheme: Scheme) -> Vec<Entity> {
        let mut entities: Vec<Entity> = Vec::new();
        let mut open = None;
        for (at, &tag) in sequence.iter().enumerate() {
            let tag = match tag {
                IGNORED => None,
                tag => self.tags[tag as usize],
            };
            let goes_on = matches!(tag, Some((false, kind)) if open == Some(kind));
            if goes_on {
                entities.last_mut().expect("one is open").words.end = at + 1;
                continue;
            }
            open = match (tag, scheme) {
                (Some((true, kind)), _) | (Some((_, kind)), Scheme::Conll) => Some(kind),
                _ => None,
            };
            if let Some(kind) = open {
                entities.push(Entity {
                    kind,
                    words: at..at + 1,
                });
            }
        }
        entities
    }
}

/// How well entities are found: those of the right type, with the right first and last word.
#[derive(Clone, Debug, PartialEq)]
pub struct Entities {
    tags: Tags,
    scheme: Scheme,
    /// Of each type: entities that were found, said, and there.
    counts: Vec<[u64; 3]>,
}

impl Entities {
    /// Of no sequence yet.
    pub fn new(tags: Tags, scheme: Scheme) -> Self {
        Self {
            counts: vec![[0; 3]; tags.types.len()],
            tags,
            scheme,
        }
    }

    /// Adds a sequence; gives its entities that were found, said, and there.
    ///
    /// # Panics
    /// If the two differ in length.
    pub fn add(&mut self, truth: &[i32], said: &[i32]) -> [u64; 3] {
        assert_eq!(truth.len(), said.len(), "a tag for each word");
        let truth = self.tags.entities(truth, self.scheme);
        let said = self.tags.entities(said, self.scheme);
        let mut sum = [0; 3];
        let mut add = |kind: usize, what: usize| {
            self.counts[kind][what] += 1;
            sum[what] += 1;
        };
        truth.iter().for_each(|entity| add(entity.kind, 2));
        let mut truth = truth.iter().peekable();
        for entity in &said {
            add(entity.kind, 1);
            // Both are in order, and no two of one sequence begin at the same word.
            while truth
                .next_if(|other| other.words.start < entity.words.start)
                .is_some()
            {}
            if truth.peek() == Some(&entity) {
                add(entity.kind, 0);
            }
        }
        sum
    }

    /// Precision, recall and F1 of all entities.
    pub fn all(&self) -> ClassScore {
        let mut sum = [0; 3];
        for counts in &self.counts {
            (0..3).for_each(|i| sum[i] += counts[i]);
        }
        score(sum)
    }

    /// Precision, recall and F1 of each type, with its name.
    pub fn per_type(&self) -> impl Iterator<Item = (&str, ClassScore)> {
        let scores = self.counts.iter().map(|&counts| score(counts));
        self.tags.types.iter().map(String::as_str).zip(scores)
    }
}

/// Of entities that were found, said, and there.
fn score([found, said, there]: [u64; 3]) -> ClassScore {
    ClassScore {
        precision: quotient(found, said),
        recall: quotient(found, there),
        f1: quotient(2 * found, said + there),
        support: there,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags() -> Tags {
        let names = ["O", "B-X", "I-X", "B-Y", "I-Y"].map(str::to_owned);
        Tags::of(&names).unwrap()
    }

    fn words(sequence: &[i32], scheme: Scheme) -> Vec<(usize, Range<usize>)> {
        let entities = tags().entities(sequence, scheme);
        entities.into_iter().map(|e| (e.kind, e.words)).collect()
    }

    #[test]
    fn schemes_differ_where_an_entity_does_not_begin() {
        // O I-X I-X I-Y B-Y I-Y I-X
        let sequence = [0, 2, 2, 4, 3, 4, 2];
        let conll = words(&sequence, Scheme::Conll);
        assert_eq!(conll, [(0, 1..3), (1, 3..4), (1, 4..6), (0, 6..7)]);
        assert_eq!(words(&sequence, Scheme::Strict), [(1, 4..6)]);
    }

    #[test]
    fn only_whole_entities_of_the_right_type_count() {
        let mut entities = Entities::new(tags(), Scheme::Conll);
        // X is found, Y is cut short, and X is said where there is Y.
        let sum = entities.add(&[1, 2, 0, 3, 4, 3], &[1, 2, 0, 3, 0, 1]);
        assert_eq!(sum, [1, 3, 3]);
        assert!((entities.all().f1 - 1.0 / 3.0).abs() < 1e-12);
        let [(x, of_x), (_, of_y)] = entities.per_type().collect::<Vec<_>>()[..] else {
            panic!("two types")
        };
        assert_eq!(
            (x, of_x.precision, of_x.recall, of_y.f1),
            ("X", 0.5, 1.0, 0.0)
        );
    }

    #[test]
    fn other_names_are_no_tags() {
        let of =
            |names: &[&str]| Tags::of(&names.iter().map(|n| n.to_string()).collect::<Vec<_>>());
        assert!(of(&["O", "B-X"]).is_some());
        for names in [
            &["B-X", "I-X"][..], // nothing is outside
            &["O", "I-X"],
            &["O", "B-"],
            &["O", "X"],
            &["O"],
        ] {
            assert_eq!(of(names), None, "{names:?}");
        }
    }
}
