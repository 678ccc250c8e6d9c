//! Pictures and boxes resized and moved together.

use crate::boxes::{Bounds, area, clipped};
use crate::{Object, Target};

/// Where a picture comes to lie: its upper left corner goes to `start`, and a pixel becomes `scale` wide and high.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    pub(crate) scale: f32,
    /// Down and across, in pixels.
    pub(crate) start: [f32; 2],
}

impl Place {
    /// Where bounds come to lie.
    pub(crate) fn apply(&self, [x1, y1, x2, y2]: Bounds) -> Bounds {
        let [top, left] = self.start;
        [
            x1 * self.scale + left,
            y1 * self.scale + top,
            x2 * self.scale + left,
            y2 * self.scale + top,
        ]
    }
}

/// What a pixel of a line is mixed from.
#[derive(Clone, Copy)]
struct Mix {
    at: usize,
    from: [usize; 2],
    /// Share of the second.
    share: f32,
}

/// The pixels of a line of `to` that lie in `range` and on a picture of `from` pixels, and what they are mixed from.
fn mixes(from: usize, scale: f32, start: f32, range: [usize; 2]) -> Vec<Mix> {
    let place = |at: usize| (at as f32 + 0.5 - start) / scale;
    let inside = (range[0]..range[1]).filter(|&at| (0.0..from as f32).contains(&place(at)));
    let mix = inside.map(|at| {
        // Middles of pixels lie at halves.
        let place = (place(at) - 0.5).clamp(0.0, (from - 1) as f32);
        let first = place as usize;
        Mix {
            at,
            from: [first, (first + 1).min(from - 1)],
            share: place - first as f32,
        }
    });
    mix.collect()
}

/// Draws the picture `image` of `from` (height, width) into `canvas` of `to`, both channel by channel, where `place` says
/// and no further than the rows and columns of `window`. Pixels are mixed from their four neighbours.
pub(crate) fn paste(
    image: &[u8],
    from: [usize; 2],
    canvas: &mut [u8],
    to: [usize; 2],
    place: Place,
    window: [[usize; 2]; 2],
) {
    let rows = mixes(from[0], place.scale, place.start[0], window[0]);
    let columns = mixes(from[1], place.scale, place.start[1], window[1]);
    let images = image.chunks_exact(from[0] * from[1]);
    let canvases = canvas.chunks_exact_mut(to[0] * to[1]);
    for (image, canvas) in images.zip(canvases) {
        for row in &rows {
            let [above, below] = row.from.map(|y| &image[y * from[1]..][..from[1]]);
            let out = &mut canvas[row.at * to[1]..][..to[1]];
            for column in &columns {
                let [left, right] = column.from;
                let across = |line: &[u8]| {
                    let [a, b] = [f32::from(line[left]), f32::from(line[right])];
                    a + (b - a) * column.share
                };
                let (above, below) = (across(above), across(below));
                out[column.at] = (above + (below - above) * row.share + 0.5) as u8;
            }
        }
    }
}

/// A box of which less than this is left is dropped: a tenth of its area.
const LEAST_SHARE: f32 = 0.1;
/// A box with a shorter side, in pixels, is dropped, unless it was so before.
const LEAST_SIDE: f32 = 2.0;

/// Moves boxes, cuts off what lies outside of a picture of `size` (height, width), and drops those of which too little is
/// left. Other targets stay.
pub(crate) fn move_boxes(target: &mut Target, size: [usize; 2], to: impl Fn(Bounds) -> Bounds) {
    if let Target::Boxes(objects) = target {
        objects.retain_mut(|object| {
            let old = object.bounds;
            let moved = to(old);
            object.bounds = clipped(moved, size);
            is_left(old, moved, object)
        });
    }
}

fn is_left(old: Bounds, moved: Bounds, object: &Object) -> bool {
    let [x1, y1, x2, y2] = object.bounds;
    let long = |new: f32, old: f32| new > 0.0 && new >= LEAST_SIDE.min(old);
    area(object.bounds) >= LEAST_SHARE * area(moved)
        && long(x2 - x1, old[2] - old[0])
        && long(y2 - y1, old[3] - old[1])
}
