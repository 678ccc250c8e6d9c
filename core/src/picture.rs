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

    /// The picture with every pixel `factor` times as wide and high.
    pub fn enlarged(&self, factor: u32) -> Self {
        let [width, height] = [self.width * factor, self.height * factor];
        let row = |y| (0..width).flat_map(move |x| self.pixel(x / factor, y / factor));
        let rgb = (0..height).flat_map(row).collect();
        Self { width, height, rgb }
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

    #[test]
    fn an_enlarged_picture_repeats_columns_and_rows() {
        let mut picture = Picture::filled(2, 1, [1; 3]);
        picture.rgb[3] = 9;
        let large = picture.enlarged(2);
        assert_eq!((large.width, large.height), (4, 2));
        let red: Vec<u8> = large.rgb.chunks(3).map(|pixel| pixel[0]).collect();
        assert_eq!(red, [1, 1, 9, 9, 1, 1, 9, 9]);
    }
}
