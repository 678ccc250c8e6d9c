//! Plain English of a small grammar, whose verbs agree with their subjects over what stands between.

use anyhow::Result;
use rand::RngExt;
use thorndike_core::Rng;

use super::Order;
use super::folder::Folder;

/// Sentences of a paragraph, which is a line.
const PARAGRAPH: usize = 5;

// All begin with a consonant, so that "a" is right in front of them.
const ADJECTIVES: [&str; 10] = [
    "big", "brave", "cold", "green", "happy", "little", "lonely", "quiet", "strange", "young",
];
/// One and several.
const NOUNS: [[&str; 2]; 14] = [
    ["bird", "birds"],
    ["boy", "boys"],
    ["child", "children"],
    ["cook", "cooks"],
    ["dog", "dogs"],
    ["farmer", "farmers"],
    ["fish", "fish"],
    ["girl", "girls"],
    ["horse", "horses"],
    ["king", "kings"],
    ["mouse", "mice"],
    ["queen", "queens"],
    ["sailor", "sailors"],
    ["wolf", "wolves"],
];
/// Of one, of several; the second is the plain form as well.
const TRANSITIVE: [[&str; 2]; 9] = [
    ["calls", "call"],
    ["catches", "catch"],
    ["finds", "find"],
    ["follows", "follow"],
    ["hears", "hear"],
    ["helps", "help"],
    ["knows", "know"],
    ["sees", "see"],
    ["watches", "watch"],
];
const INTRANSITIVE: [[&str; 2]; 7] = [
    ["dances", "dance"],
    ["laughs", "laugh"],
    ["runs", "run"],
    ["sings", "sing"],
    ["sleeps", "sleep"],
    ["waits", "wait"],
    ["walks home", "walk home"],
];
/// In front of one and of several.
const DETERMINERS: [[&str; 4]; 2] = [
    ["the", "a", "every", "this"],
    ["the", "two", "some", "these"],
];
const PLACES: [&str; 8] = [
    "at the door",
    "behind the house",
    "by the sea",
    "in the garden",
    "in the snow",
    "near the river",
    "on the hill",
    "under the tree",
];
const TIMES: [&str; 6] = [
    "after dinner",
    "at night",
    "before sunrise",
    "every morning",
    "in winter",
    "on Sundays",
];
const JOINTS: [&str; 4] = [", and", ", but", " while", " because"];

pub(super) fn draw(order: &Order, out: &mut Folder<'_>) -> Result<()> {
    let mut text = String::new();
    for (_, count, mut rng) in order.parts() {
        for i in 0..count {
            text += &sentence(&mut rng);
            let last = (i + 1) % PARAGRAPH == 0 || i + 1 == count;
            text.push(if last { '\n' } else { ' ' });
        }
    }
    out.write("input.txt", text.as_bytes())
}

fn sentence(rng: &mut Rng) -> String {
    let text = match rng.random_range(0..10) {
        0 => question(rng) + "?",
        1..4 => {
            let first = clause(rng);
            first + pick(&JOINTS, rng) + " " + &clause(rng) + "."
        }
        4 => format!("{}, {}.", pick(&TIMES, rng), clause(rng)),
        _ => clause(rng) + ".",
    };
    // All words are of ASCII.
    text[..1].to_uppercase() + &text[1..]
}

fn clause(rng: &mut Rng) -> String {
    let (subject, number) = somebody(true, rng);
    format!("{subject} {}", doing(number, rng))
}

fn question(rng: &mut Rng) -> String {
    let (subject, number) = somebody(false, rng);
    format!("{} {subject} {}", ["does", "do"][number], doing(1, rng))
}

/// What is done, in the form of `number`, perhaps with where or when.
fn doing(number: usize, rng: &mut Rng) -> String {
    let mut text = if rng.random() {
        let verb = pick(&TRANSITIVE, rng)[number];
        format!("{verb} {}", somebody(false, rng).0)
    } else {
        pick(&INTRANSITIVE, rng)[number].to_owned()
    };
    match rng.random_range(0..4) {
        0 => text = text + " " + pick(&PLACES, rng),
        1 => text = text + " " + pick(&TIMES, rng),
        _ => {}
    }
    text
}

/// One (0) or several (1), perhaps with a clause about them.
fn somebody(relative: bool, rng: &mut Rng) -> (String, usize) {
    let number = rng.random_range(0..2);
    let mut text = pick(&DETERMINERS[number], rng).to_owned();
    if rng.random_range(0..3) == 0 {
        text = text + " " + pick(&ADJECTIVES, rng);
    }
    text = text + " " + pick(&NOUNS, rng)[number];
    if relative && rng.random_range(0..4) == 0 {
        let (other, others) = somebody(false, rng);
        let verb = pick(&TRANSITIVE, rng);
        text = match rng.random() {
            true => format!("{text} that {} {other}", verb[number]),
            false => format!("{text} that {other} {}", verb[others]),
        };
    }
    (text, number)
}

fn pick<T: Copy>(words: &[T], rng: &mut Rng) -> T {
    words[rng.random_range(0..words.len())]
}

#[cfg(test)]
mod tests {
    use thorndike_core::Seeds;

    use super::*;

    #[test]
    fn verbs_agree_with_their_subjects() {
        let mut rng = Seeds::new(0).stream("test", 0);
        let mut pairs = 0;
        for _ in 0..2000 {
            let text = sentence(&mut rng);
            // Of a subject with a clause about it, and of a question, the verb does not stand next to the noun.
            if text.contains(" that ") || text.ends_with('?') {
                continue;
            }
            let words: Vec<&str> = text.split([' ', ',', '.']).collect();
            for pair in words.windows(2) {
                let number = |forms: &[[&str; 2]], word| {
                    let forms = forms.iter().filter(|[one, several]| one != several);
                    forms
                        .flat_map(|forms| (0..2).filter(|&i| forms[i] == word))
                        .next()
                };
                let verbs = [&TRANSITIVE[..], &INTRANSITIVE[..6]].concat();
                let (noun, verb) = (number(&NOUNS, pair[0]), number(&verbs, pair[1]));
                if let (Some(noun), Some(verb)) = (noun, verb) {
                    assert_eq!(noun, verb, "{text}");
                    pairs += 1;
                }
            }
        }
        assert!(pairs > 1000, "{pairs} verbs behind their nouns");
    }
}
