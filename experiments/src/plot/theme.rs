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

    /// Colour of a value that is `share` of the way from the lowest to the highest: the higher, the farther from the
    /// background. Order is told by lightness alone, so it is seen with every kind of colour blindness.
    ///
    /// # Reference
    /// Harrower, Brewer, *ColorBrewer.org: An Online Tool for Selecting Colour Schemes for Maps*, 2003, scheme YlGnBu,
    /// which they mark as safe for the colour-blind. Deviations: without the steps that are too near to the background,
    /// mixed between the others.
    pub(super) fn scale(self, share: f64) -> Colour {
        const LIGHT: [Colour; 6] = [
            Colour(0xC7, 0xE9, 0xB4),
            Colour(0x7F, 0xCD, 0xBB),
            Colour(0x41, 0xB6, 0xC4),
            Colour(0x1D, 0x91, 0xC0),
            Colour(0x22, 0x5E, 0xA8),
            Colour(0x0C, 0x2C, 0x84),
        ];
        const DARK: [Colour; 6] = [
            Colour(0x22, 0x5E, 0xA8),
            Colour(0x1D, 0x91, 0xC0),
            Colour(0x41, 0xB6, 0xC4),
            Colour(0x7F, 0xCD, 0xBB),
            Colour(0xC7, 0xE9, 0xB4),
            Colour(0xFF, 0xFF, 0xD9),
        ];
        let steps = if self == Self::Light { LIGHT } else { DARK };
        let last = steps.len() - 1;
        let place = share.clamp(0.0, 1.0) * last as f64;
        let below = (place as usize).min(last - 1);
        steps[below + 1].over(steps[below], place - below as f64)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance of WCAG 2, of linear light.
    fn luminance(Colour(r, g, b): Colour) -> f64 {
        let linear = |v: u8| match f64::from(v) / 255.0 {
            v if v <= 0.040_45 => v / 12.92,
            v => ((v + 0.055) / 1.055).powf(2.4),
        };
        0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
    }

    #[test]
    fn a_higher_value_is_always_farther_from_the_background() {
        for theme in [Theme::Light, Theme::Dark] {
            let ground = luminance(theme.background());
            let away = |share: f64| (luminance(theme.scale(share)) - ground).abs();
            for step in 0..100 {
                let share = f64::from(step) / 100.0;
                assert!(away(share + 0.01) > away(share), "{theme:?} at {share}");
            }
            assert!(away(0.0) > 0.05 && away(1.0) > 0.8, "{theme:?}");
        }
    }
}
