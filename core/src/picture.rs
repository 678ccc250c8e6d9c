//! Drawn frames.

/// An RGB picture, rows from top to bottom, 8 bits a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `height * width * 3` bytes: red, green, blue.
    pub rgb: Vec<u8>,
}

impl Picture {
    /// A picture of one colour.
    pub fn filled(width: u32, height: u32, color: [u8; 3]) -> Self {
        Self {
            width,
            height,
            rgb: color.repeat(width as usize * height as usize),
        }
    }

    /// The pixel in column `x` of row `y`.
    ///
    /// # Panics
    /// If there is no such pixel.
    pub fn pixel(&self, x: u32, y: u32) -> [u8; 3] {
        assert!(x < self.width, "column {x} of {}", self.width);
        let at = (y as usize * self.width as usize + x as usize) * 3;
        [self.rgb[at], self.rgb[at + 1], self.rgb[at + 2]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_are_found_by_column_and_row() {
        let mut picture = Picture::filled(3, 2, [1, 2, 3]);
        picture.rgb[(3 + 2) * 3] = 9;
        assert_eq!(picture.pixel(2, 1), [9, 2, 3]);
        assert_eq!(picture.pixel(2, 0), [1, 2, 3]);
        assert_eq!(picture.rgb.len(), 18);
    }
}
