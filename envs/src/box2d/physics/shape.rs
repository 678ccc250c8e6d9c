//! Shapes: convex polygons that move, edges that do not, and the boxes around them.

use serde::{Deserialize, Serialize};

use super::math::{Placement, Vec2, vec2};

/// Thickness of every shape's skin, m; contacts begin and rest within it.
pub(super) const SKIN: f32 = 2.0 * super::LINEAR_SLOP;
/// Room that a loose box leaves around its shape, m, and how many of the last moves it looks ahead.
const ROOM: f32 = 0.1;
const MOVES_AHEAD: f32 = 2.0;
/// Corners of the largest polygon here.
pub(super) const MAX_CORNERS: usize = 6;

/// A box along the axes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Bounds {
    low: Vec2,
    high: Vec2,
}

impl Bounds {
    fn around(points: impl Iterator<Item = Vec2>) -> Self {
        let infinite = Self {
            low: vec2(f32::INFINITY, f32::INFINITY),
            high: vec2(f32::NEG_INFINITY, f32::NEG_INFINITY),
        };
        let skin = vec2(SKIN, SKIN);
        let tight = points.fold(infinite, |bounds, point| Self {
            low: bounds.low.least(point),
            high: bounds.high.most(point),
        });
        Self {
            low: tight.low - skin,
            high: tight.high + skin,
        }
    }

    fn joined(self, other: Self) -> Self {
        Self {
            low: self.low.least(other.low),
            high: self.high.most(other.high),
        }
    }

    fn loose(self) -> Self {
        let room = vec2(ROOM, ROOM);
        Self {
            low: self.low - room,
            high: self.high + room,
        }
    }

    fn contain(&self, other: &Self) -> bool {
        self.low.x <= other.low.x
            && self.low.y <= other.low.y
            && other.high.x <= self.high.x
            && other.high.y <= self.high.y
    }

    pub(super) fn overlap(&self, other: &Self) -> bool {
        other.low.x - self.high.x <= 0.0
            && other.low.y - self.high.y <= 0.0
            && self.low.x - other.high.x <= 0.0
            && self.low.y - other.high.y <= 0.0
    }

    /// Follows a polygon that moved; says whether the loose box had to be drawn anew.
    pub(super) fn follow(&mut self, polygon: &Polygon, from: &Placement, to: &Placement) -> bool {
        let swept = polygon.bounds(from).joined(polygon.bounds(to));
        if self.contain(&swept) {
            return false;
        }
        *self = swept.loose();
        let ahead = (to.position - from.position) * MOVES_AHEAD;
        let nothing = vec2(0.0, 0.0);
        self.low += ahead.least(nothing);
        self.high += ahead.most(nothing);
        true
    }
}

/// A convex polygon, counterclockwise, in its body's frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Polygon {
    corners: [Vec2; MAX_CORNERS],
    /// Outward, of the side that begins at the corner of the same number.
    normals: [Vec2; MAX_CORNERS],
    count: usize,
    /// Centre of the area.
    pub(super) centroid: Vec2,
}

/// Mass, and how it is spread.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mass {
    /// kg.
    pub(super) mass: f32,
    /// In the body's frame, m.
    pub(super) center: Vec2,
    /// About `center`, kg m².
    pub(super) inertia: f32,
}

impl Polygon {
    /// # Panics
    /// With less than 3 or more than [`MAX_CORNERS`] corners.
    pub(crate) fn new(points: &[Vec2]) -> Self {
        assert!((3..=MAX_CORNERS).contains(&points.len()), "corners");
        let mut polygon = Self {
            corners: [Vec2::default(); MAX_CORNERS],
            normals: [Vec2::default(); MAX_CORNERS],
            count: points.len(),
            centroid: Vec2::default(),
        };
        polygon.corners[..points.len()].copy_from_slice(points);
        for i in 0..points.len() {
            let side = points[polygon.next(i)] - points[i];
            polygon.normals[i] = side.right().normalized();
        }
        let (mut weighted, mut area) = (Vec2::default(), 0.0);
        for (a, b) in polygon.sides() {
            let triangle = 0.5 * a.cross(b);
            area += triangle;
            weighted += (a + b) * (triangle * (1.0 / 3.0));
        }
        polygon.centroid = weighted * (1.0 / area);
        polygon
    }

    /// A rectangle around the origin, `half` its width and height.
    pub(crate) fn rectangle(half: Vec2) -> Self {
        let Vec2 { x, y } = half;
        let mut rectangle = Self::new(&[vec2(-x, -y), vec2(x, -y), vec2(x, y), vec2(-x, y)]);
        // Without the rounding of a length.
        let normals = [
            vec2(0.0, -1.0),
            vec2(1.0, 0.0),
            vec2(0.0, 1.0),
            vec2(-1.0, 0.0),
        ];
        rectangle.normals[..4].copy_from_slice(&normals);
        rectangle
    }

    #[inline]
    pub(crate) fn corners(&self) -> &[Vec2] {
        &self.corners[..self.count]
    }
    #[inline]
    pub(super) fn normals(&self) -> &[Vec2] {
        &self.normals[..self.count]
    }
    /// Number of the corner after `i`.
    #[inline]
    pub(super) fn next(&self, i: usize) -> usize {
        if i + 1 < self.count { i + 1 } else { 0 }
    }

    fn sides(&self) -> impl Iterator<Item = (Vec2, Vec2)> {
        (0..self.count).map(|i| (self.corners[i], self.corners[self.next(i)]))
    }

    fn bounds(&self, at: &Placement) -> Bounds {
        Bounds::around(self.corners().iter().map(|&corner| at.apply(corner)))
    }

    /// A loose box around it.
    pub(super) fn loose_bounds(&self, at: &Placement) -> Bounds {
        self.bounds(at).loose()
    }

    /// Mass at `density` kg/m²: sums over the triangles between the mean corner and each side.
    pub(super) fn mass(&self, density: f32) -> Mass {
        const THIRD: f32 = 1.0 / 3.0;
        let mut mean = Vec2::default();
        for &corner in self.corners() {
            mean += corner;
        }
        mean = mean * (1.0 / self.count as f32);
        let (mut center, mut area, mut inertia) = (Vec2::default(), 0.0, 0.0);
        for (a, b) in self.sides() {
            let (a, b) = (a - mean, b - mean);
            let double = a.cross(b);
            let triangle = 0.5 * double;
            area += triangle;
            center += (a + b) * (triangle * THIRD);
            let x = a.x * a.x + b.x * a.x + b.x * b.x;
            let y = a.y * a.y + b.y * a.y + b.y * b.y;
            inertia += (0.25 * THIRD * double) * (x + y);
        }
        let mass = density * area;
        let from_mean = center * (1.0 / area);
        let center = from_mean + mean;
        // First about the origin of the frame, then about the centre: the order of the roundings counts.
        let about_origin =
            density * inertia + mass * (center.dot(center) - from_mean.dot(from_mean));
        let center = (center * mass) * (1.0 / mass);
        Mass {
            mass,
            center,
            inertia: about_origin - mass * center.dot(center),
        }
    }
}

/// A piece of the ground.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Edge {
    /// Its ends.
    pub(crate) ends: [Vec2; 2],
    /// To the right of the way from the first end to the second.
    pub(super) normal: Vec2,
    pub(super) bounds: Bounds,
    pub(super) friction: f32,
}

impl Edge {
    pub(crate) fn new(ends: [Vec2; 2], friction: f32) -> Self {
        Self {
            ends,
            normal: (ends[1] - ends[0]).normalized().right(),
            bounds: Bounds::around(ends.into_iter()).loose(),
            friction,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_has_the_mass_and_inertia_of_the_formulas() {
        let corners = [
            vec2(1.0, 1.0),
            vec2(3.0, 1.0),
            vec2(3.0, 2.0),
            vec2(1.0, 2.0),
        ];
        let polygon = Polygon::new(&corners);
        let Mass {
            mass,
            center,
            inertia,
        } = polygon.mass(3.0);
        assert_eq!((mass, center), (6.0, vec2(2.0, 1.5)));
        assert_eq!(polygon.centroid, vec2(2.0, 1.5));
        // m (w² + h²) / 12; 1e-5: it is a difference of numbers near 40.
        assert!((inertia - 6.0 * 5.0 / 12.0).abs() < 1e-5);
        assert_eq!(polygon.normals()[0], vec2(0.0, -1.0));
    }

    #[test]
    fn a_loose_box_is_kept_until_the_shape_leaves_it() {
        let square = [
            vec2(0.0, 0.0),
            vec2(1.0, 0.0),
            vec2(1.0, 1.0),
            vec2(0.0, 1.0),
        ];
        let square = Polygon::new(&square);
        let at = |x| Placement::around(vec2(x, 0.0), 0.0, vec2(0.0, 0.0));
        let mut bounds = square.loose_bounds(&at(0.0));
        assert!(!bounds.follow(&square, &at(0.0), &at(0.05)));
        assert!(bounds.follow(&square, &at(0.05), &at(0.2)));
        // Room of 0.1, and two moves of 0.15 ahead.
        assert!(!bounds.follow(&square, &at(0.2), &at(0.55)));
    }
}
