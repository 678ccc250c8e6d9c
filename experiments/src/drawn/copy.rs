//! Sequences of symbols, each step with the symbol some steps before as its tag.

use std::fmt::Write;

use anyhow::Result;
use rand::RngExt;

use super::Order;
use super::folder::Folder;

const SYMBOLS: [&str; 4] = ["a", "b", "c", "d"];
/// The tag while there is no symbol so far back.
const NONE: &str = "none";
/// Steps that have a symbol as their tag.
const TAGGED: std::ops::RangeInclusive<usize> = 8..=24;

/// A row a step: the number of the sequence, 1 in the column of the symbol and 0 in the others, the tag.
pub(super) fn draw(order: &Order, out: &mut Folder<'_>) -> Result<()> {
    for (part, count, mut rng) in order.parts() {
        let mut text = format!("id,{},label\n", SYMBOLS.join(","));
        for id in 0..count {
            let steps = order.length + rng.random_range(TAGGED);
            let symbols: Vec<usize> = (0..steps)
                .map(|_| rng.random_range(0..SYMBOLS.len()))
                .collect();
            for (step, &symbol) in symbols.iter().enumerate() {
                write!(text, "{id}")?;
                for other in 0..SYMBOLS.len() {
                    text += if other == symbol { ",1" } else { ",0" };
                }
                let before = step.checked_sub(order.length);
                let tag = before.map_or(NONE, |step| SYMBOLS[symbols[step]]);
                writeln!(text, ",{tag}")?;
            }
        }
        out.write(&format!("{part}.csv"), text.as_bytes())?;
    }
    Ok(())
}
