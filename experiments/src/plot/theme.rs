//! Colours: one look for everything that is drawn.

use serde::{Deserialize, Serialize};

/// Red, green, blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Colour(pub(super) u8, pub(super) u8, pub(super) u8);

impl Colour {
    /// This colour laid over `ground`; `share` 1 covers it. Opaque, so that lines may cross themselves.
    pub(super) fn over(self, ground: Self, share: f64) -> Self {
        let mix =
            |a: u8, b: u8| (f64::from(a) * share + f64::from(b) * (1.0 - share)).round() as u8;
        Self(
            mix(self.0, ground.0),
            mix(self.1, ground.1),
            mix(self.2, ground.2),
        )
    }
}

/// Background of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Theme {
    /// Dark on white, for a README and for paper.
    #[default]
    Light,
    /// Light on near-black.
    Dark,
}

impl Theme {
    pub(super) fn background(self) -> Colour {
        match self {
            Self::Light => Colour(0xFF, 0xFF, 0xFF),
            Self::Dark => Colour(0x14, 0x17, 0x1C),
        }
    }

    pub(super) fn text(self) -> Colour {
        match self {
            Self::Light => Colour(0x22, 0x22, 0x22),
            Self::Dark => Colour(0xEC, 0xEC, 0xEC),
        }
    }

    /// Text that is not the first thing to read.
    pub(super) fn muted(self) -> Colour {
        self.text().over(self.background(), 0.72)
    }

    pub(super) fn grid(self) -> Colour {
        self.text().over(self.background(), 0.12)
    }

    /// The colour of single runs beside their average in `colour`.
    pub(super) fn faint(self, colour: Colour) -> Colour {
        let share = if self == Self::Light { 0.45 } else { 0.6 };
        colour.over(self.background(), share)
    }

    /// Colour of the `index`-th experiment, told apart by every common kind of colour blindness.
    ///
    /// # Reference
    /// Okabe, Ito, *Color Universal Design*, 2008. Deviations: the order, and on a light ground no yellow (contrast
    /// 1.3), on a dark one no black and lighter shades of the blue and the vermillion.
    pub(super) fn series(self, index: usize) -> Colour {
        const LIGHT: [Colour; 7] = [
            Colour(0x00, 0x72, 0xB2), // blue
            Colour(0xD5, 0x5E, 0x00), // vermillion
            Colour(0x00, 0x9E, 0x73), // bluish green
            Colour(0xCC, 0x79, 0xA7), // reddish purple
            Colour(0x00, 0x00, 0x00), // black
            Colour(0xE6, 0x9F, 0x00), // orange
            Colour(0x56, 0xB4, 0xE9), // sky blue
        ];
        const DARK: [Colour; 7] = [
            Colour(0x56, 0xB4, 0xE9), // sky blue
            Colour(0xE6, 0x9F, 0x00), // orange
            Colour(0x00, 0xB8, 0x87), // bluish green
            Colour(0xCC, 0x79, 0xA7), // reddish purple
            Colour(0xF0, 0xE4, 0x42), // yellow
            Colour(0xF0, 0x7F, 0x2E), // vermillion
            Colour(0x3F, 0x8F, 0xD0), // blue
        ];
        match self {
            Self::Light => LIGHT[index % LIGHT.len()],
            Self::Dark => DARK[index % DARK.len()],
        }
    }
}
