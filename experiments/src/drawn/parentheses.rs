//! Strings of parentheses: 1 opens, -1 closes, and what is behind the end is empty.

use anyhow::Result;
use rand::RngExt;
use rand::seq::SliceRandom;
use thorndike_core::Rng;

use super::folder::Folder;
use super::{Order, PARTS};

const CLASSES: [&str; 2] = ["balanced", "unbalanced"];
/// The fewest pairs; there are 14 balanced strings of them.
const FEWEST_PAIRS: usize = 4;

/// Classes take turns, and lengths say nothing of them. Half of the unbalanced strings have as many that open as that
/// close: they cannot be told by a count alone. No string is in both parts.
pub(super) fn draw(order: &Order, out: &mut Folder<'_>) -> Result<()> {
    for (part, count, mut rng) in order.parts() {
        let names = (1..=order.length).map(|i| format!("p{i},"));
        let mut text: String = names.chain(["label\n".to_owned()]).collect();
        for i in 0..count {
            let class = i % CLASSES.len();
            let string = loop {
                let pairs = rng.random_range(FEWEST_PAIRS..=order.length / 2);
                let string = match class {
                    0 => balanced(pairs, &mut rng),
                    _ => unbalanced(pairs, &mut rng),
                };
                if part_of(&string) == part {
                    break string;
                }
            };
            let cells = string.iter().map(|&opens| if opens { "1," } else { "-1," });
            text.extend(cells);
            text.extend((string.len()..order.length).map(|_| ","));
            text += CLASSES[class];
            text.push('\n');
        }
        out.write(&format!("{part}.csv"), text.as_bytes())?;
    }
    Ok(())
}

/// Any balanced string of so many pairs, all with the same probability.
///
/// # Reference
/// Dvoretzky and Motzkin, *A problem of arrangements*, 1947: of a circle with one more that opens than closes, there is
/// one place to cut from where on more have opened than closed at every point.
fn balanced(pairs: usize, rng: &mut Rng) -> Vec<bool> {
    let mut circle: Vec<bool> = (0..=2 * pairs).map(|i| i <= pairs).collect();
    circle.shuffle(rng);
    let (mut height, mut lowest, mut cut) = (0, 0, 0);
    for (i, &opens) in circle.iter().enumerate() {
        height += if opens { 1 } else { -1 };
        if height <= lowest {
            (lowest, cut) = (height, i + 1);
        }
    }
    circle.rotate_left(cut);
    circle.split_off(1)
}

fn unbalanced(pairs: usize, rng: &mut Rng) -> Vec<bool> {
    if rng.random() {
        let mut string = balanced(pairs, rng);
        let turned = rng.random_range(0..string.len());
        string[turned] = !string[turned];
        return string;
    }
    let mut string: Vec<bool> = (0..2 * pairs).map(|i| i < pairs).collect();
    while is_balanced(&string) {
        string.shuffle(rng);
    }
    string
}

fn is_balanced(string: &[bool]) -> bool {
    let mut open = 0_usize;
    string.iter().all(|&opens| {
        let left = if opens {
            open.checked_add(1)
        } else {
            open.checked_sub(1)
        };
        open = left.unwrap_or(open);
        left.is_some()
    }) && open == 0
}

/// Every fifth string is to test with, whatever the seed.
fn part_of(string: &[bool]) -> &'static str {
    // 64-bit FNV-1a.
    let hash = string
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, &opens| {
            (hash ^ u64::from(opens)).wrapping_mul(0x100_0000_01b3)
        });
    PARTS[usize::from((hash >> 32).is_multiple_of(5))]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use thorndike_core::Seeds;

    use super::*;

    #[test]
    fn every_balanced_string_is_drawn_as_often() {
        let mut rng = Seeds::new(0).stream("test", 0);
        let mut counts = BTreeMap::new();
        for _ in 0..5000 {
            let string = balanced(3, &mut rng);
            assert!(is_balanced(&string));
            *counts.entry(string).or_insert(0) += 1;
        }
        // Five strings of three pairs; six standard deviations of 28 around a thousand.
        assert_eq!(counts.len(), 5);
        assert!(
            counts.values().all(|n| (830..1170).contains(n)),
            "{counts:?}"
        );
    }
}
