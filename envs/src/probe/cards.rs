//! Playing cards, of which only the suits count.

use rand::RngExt;
use serde::{Deserialize, Serialize};
use thorndike_core::{Picture, Rng};

use crate::canvas::{Canvas, colors};

/// Cards in a pack.
pub(super) const PACK: u32 = 52;
/// Packs that may be played with.
pub(super) const MAX_DECKS: u32 = 1000;
/// Names of the suits.
pub(super) const SUITS: [&str; 4] = ["spades", "diamonds", "clubs", "hearts"];
const SIGNS: [char; 4] = ['♠', '♦', '♣', '♥'];

/// Cards not yet dealt, by suit: dealing from these counts is dealing from a shuffled deck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deck {
    /// Cards of each suit that are left.
    pub left: [u16; 4],
}

impl Deck {
    /// `num_decks` full packs.
    pub(super) fn new(num_decks: u32) -> Self {
        Self {
            left: [(num_decks * PACK / 4) as u16; 4],
        }
    }

    /// Draws the suit of the next card and takes the card off; the last suit if there is none.
    pub(super) fn deal(&mut self, rng: &mut Rng) -> u8 {
        let mut place = match self.left.iter().map(|&n| u32::from(n)).sum() {
            0 => 0,
            cards => rng.random_range(0..cards),
        };
        let mut suit = 0;
        while suit < 3 && place >= u32::from(self.left[suit]) {
            place -= u32::from(self.left[suit]);
            suit += 1;
        }
        self.take(suit as u8)
    }

    /// Takes a card of `suit` off.
    pub(super) fn take(&mut self, suit: u8) -> u8 {
        let left = &mut self.left[usize::from(suit & 3)];
        *left = left.saturating_sub(1);
        suit & 3
    }
}

/// The sign of a suit.
pub(super) fn sign(suit: u8) -> char {
    SIGNS[usize::from(suit & 3)]
}

/// A frame with the card `suit`, or with a card's back, above a bar that is filled to `progress` of 0 to 1.
pub(super) fn draw_card(suit: Option<u8>, progress: f64) -> Picture {
    let mut canvas = Canvas::new(160, 200, [0.0, 160.0], [200.0, 0.0]);
    canvas.rectangle([28.0, 8.0], [132.0, 164.0], colors::BLACK);
    let paper = if suit.is_some() {
        colors::WHITE
    } else {
        colors::SKY
    };
    canvas.rectangle([31.0, 11.0], [129.0, 161.0], paper);
    if let Some(suit) = suit {
        draw_suit(&mut canvas, suit & 3);
    }
    canvas.rectangle([8.0, 178.0], [152.0, 190.0], colors::LIGHT_GREY);
    let end = 8.0 + 144.0 * progress.clamp(0.0, 1.0);
    canvas.rectangle([8.0, 178.0], [end, 190.0], colors::BLUE);
    canvas.finish()
}

/// Middles of the discs that a suit's sign is made of.
const DISCS: [&[[f64; 2]]; 4] = [
    &[[-15.0, 8.0], [15.0, 8.0]],
    &[],
    &[[-18.0, 8.0], [18.0, 8.0], [0.0, -20.0]],
    &[[-16.0, -14.0], [16.0, -14.0]],
];
/// The polygon that completes it.
const OUTLINES: [&[[f64; 2]]; 4] = [
    &[[-31.0, 2.0], [0.0, -42.0], [31.0, 2.0], [0.0, 16.0]],
    &[[-30.0, 0.0], [0.0, -42.0], [30.0, 0.0], [0.0, 42.0]],
    &[],
    &[[-32.0, -9.0], [0.0, -16.0], [32.0, -9.0], [0.0, 38.0]],
];
/// The foot of the black suits.
const FOOT: &[[f64; 2]] = &[[0.0, -12.0], [12.0, 40.0], [-12.0, 40.0]];

fn draw_suit(canvas: &mut Canvas, suit: u8) {
    let middle = |[x, y]: [f64; 2]| [80.0 + x, 86.0 + y];
    let red = suit % 2 == 1;
    let ink = if red { colors::RED } else { colors::BLACK };
    for &disc in DISCS[usize::from(suit)] {
        canvas.disc(middle(disc), 17.0, ink);
    }
    let foot = if red { &[] } else { FOOT };
    for outline in [OUTLINES[usize::from(suit)], foot] {
        let points: Vec<[f64; 2]> = outline.iter().copied().map(middle).collect();
        canvas.polygon(&points, ink);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thorndike_core::Seeds;

    #[test]
    fn a_deck_is_dealt_to_the_end_with_thirteen_of_each_suit() {
        let mut rng = Seeds::new(0).stream("test", 0);
        let mut deck = Deck::new(2);
        let mut dealt = [0; 4];
        for _ in 0..2 * PACK {
            dealt[usize::from(deck.deal(&mut rng))] += 1;
        }
        assert_eq!((dealt, deck.left), ([26; 4], [0; 4]));
    }

    #[test]
    fn each_suit_comes_first_as_often() {
        let mut rng = Seeds::new(1).stream("test", 0);
        let mut first = [0_i32; 4];
        for _ in 0..4000 {
            first[usize::from(Deck::new(1).deal(&mut rng))] += 1;
        }
        // Standard deviation sqrt(4000 * 3/16) = 27; four of them.
        assert!(first.iter().all(|n| (n - 1000).abs() < 110), "{first:?}");
    }

    #[test]
    fn an_empty_deck_of_an_untrusted_state_still_deals() {
        let mut rng = Seeds::new(2).stream("test", 0);
        let mut deck = Deck { left: [0; 4] };
        assert_eq!((deck.deal(&mut rng), deck.take(255)), (3, 3));
    }
}
