//! Where a polygon touches an edge: the separating axis test, then clipping.

use serde::{Deserialize, Serialize};

use super::math::{Placement, Vec2};
use super::shape::{Edge, Polygon, SKIN};

/// Both skins, m: shapes nearer than this touch.
const REACH: f32 = 2.0 * SKIN;

/// Which corner meets which side: a point that keeps its name keeps its impulse.
///
/// Number of the feature of the edge and of the polygon, then their kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Name([u8; 4]);

const CORNER: u8 = 0;
const SIDE: u8 = 1;

impl Name {
    fn swapped(self) -> Self {
        let Self([a, b, kind_a, kind_b]) = self;
        Self([b, a, kind_b, kind_a])
    }
}

/// A point of a contact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct TouchPoint {
    /// In the frame of the shape whose side is not the reference, m.
    local: Vec2,
    name: Name,
    /// Impulse along the normal, N s.
    pub(super) push: f32,
    /// Impulse along the edge by friction, N s.
    pub(super) drag: f32,
}

/// Up to two points where a polygon touches an edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Manifold {
    points: [TouchPoint; 2],
    count: u8,
    /// Whether the reference is a side of the polygon rather than the edge.
    polygon_side: bool,
    /// Of the reference, outward, in its frame.
    normal: Vec2,
    /// A point of the reference, in its frame, m.
    on_side: Vec2,
}

/// A point of a contact in the world.
#[derive(Clone, Copy, Debug)]
pub(super) struct WorldPoint {
    /// From the edge to the polygon.
    pub(super) normal: Vec2,
    /// m.
    pub(super) point: Vec2,
    /// Distance between the shapes without their skins, m.
    distance: f32,
    /// Normal of the reference.
    outward: Vec2,
}

impl WorldPoint {
    /// Distance between the skins, m.
    pub(super) fn separation(&self) -> f32 {
        self.distance - SKIN - SKIN
    }

    /// In the middle between the skins, m.
    pub(super) fn middle(&self) -> Vec2 {
        let on_reference = self.point + self.outward * (SKIN - self.distance);
        let on_other = self.point - self.outward * SKIN;
        (on_reference + on_other) * 0.5
    }
}

impl Manifold {
    /// The points in the order in which they were found.
    #[inline]
    pub(super) fn points(&self) -> &[TouchPoint] {
        &self.points[..usize::from(self.count).min(2)]
    }
    #[inline]
    pub(super) fn points_mut(&mut self) -> &mut [TouchPoint] {
        &mut self.points[..usize::from(self.count).min(2)]
    }
    pub(super) fn touches(&self) -> bool {
        self.count > 0
    }

    /// Gives the points that were there before their impulses.
    pub(super) fn remember(&mut self, before: &Self) {
        for point in self.points_mut() {
            let same = before.points().iter().find(|old| old.name == point.name);
            if let Some(old) = same {
                (point.push, point.drag) = (old.push, old.drag);
            }
        }
    }

    /// One of its points, with the polygon `at` its place.
    #[inline]
    pub(super) fn in_world(&self, point: &TouchPoint, at: &Placement) -> WorldPoint {
        let (outward, on_side, point) = if self.polygon_side {
            let outward = at.rotation.apply(self.normal);
            (outward, at.apply(self.on_side), point.local)
        } else {
            (self.normal, self.on_side, at.apply(point.local))
        };
        WorldPoint {
            normal: if self.polygon_side { -outward } else { outward },
            point,
            distance: (point - on_side).dot(outward),
            outward,
        }
    }
}

/// A side against which the other shape's side is clipped.
struct Reference {
    ends: [Vec2; 2],
    normal: Vec2,
    /// Numbers of its ends.
    numbers: [u8; 2],
}

type Corner = (Vec2, Name);

/// Where `polygon` touches `edge`; no impulses yet.
pub(super) fn collide(edge: &Edge, polygon: &Polygon, at: &Placement) -> Manifold {
    let mut corners = [Vec2::default(); super::shape::MAX_CORNERS];
    let mut normals = corners;
    let count = polygon.corners().len();
    for i in 0..count {
        corners[i] = at.apply(polygon.corners()[i]);
        normals[i] = at.rotation.apply(polygon.normals()[i]);
    }
    let (corners, normals) = (&corners[..count], &normals[..count]);
    // An edge has two faces; it is the one on the polygon's side that counts.
    let front = edge.normal.dot(at.apply(polygon.centroid) - edge.ends[0]) >= 0.0;
    let normal = if front { edge.normal } else { -edge.normal };

    let above_edge = depth(normal, edge.ends[0], corners);
    if above_edge > REACH {
        return Manifold::default();
    }
    let Some((side, beside_polygon)) = nearest_side(edge, corners, normals) else {
        return Manifold::default();
    };
    // The polygon's side has to be clearly better, or the choice would flicker.
    let polygon_side = beside_polygon > 0.98 * above_edge + 0.001;
    let (reference, incident) = if polygon_side {
        let name = Name([0, side as u8, CORNER, SIDE]);
        let next = polygon.next(side);
        let reference = Reference {
            ends: [corners[side], corners[next]],
            normal: normals[side],
            numbers: [side as u8, next as u8],
        };
        (reference, edge.ends.map(|end| (end, name)))
    } else {
        let reference = Reference {
            ends: if front {
                edge.ends
            } else {
                [edge.ends[1], edge.ends[0]]
            },
            normal,
            numbers: if front { [0, 1] } else { [1, 0] },
        };
        let facing = most_opposite(normal, normals);
        let corner = |i: usize| (corners[i], Name([0, i as u8, SIDE, CORNER]));
        (reference, [corner(facing), corner(polygon.next(facing))])
    };
    let Some(clipped) = clip(&reference, incident) else {
        return Manifold::default();
    };
    let mut manifold = Manifold {
        polygon_side,
        ..Manifold::default()
    };
    (manifold.normal, manifold.on_side) = if polygon_side {
        (polygon.normals()[side], polygon.corners()[side])
    } else {
        (reference.normal, reference.ends[0])
    };
    for (point, name) in clipped {
        if reference.normal.dot(point - reference.ends[0]) <= REACH {
            manifold.points[usize::from(manifold.count)] = TouchPoint {
                local: if polygon_side { point } else { at.undo(point) },
                name: if polygon_side { name.swapped() } else { name },
                ..TouchPoint::default()
            };
            manifold.count += 1;
        }
    }
    manifold
}

/// How far the lowest corner lies above the line through `on_line` with this normal.
fn depth(normal: Vec2, on_line: Vec2, corners: &[Vec2]) -> f32 {
    corners.iter().fold(f32::MAX, |least, &corner| {
        super::math::least(normal.dot(corner - on_line), least)
    })
}

/// The side of the polygon that the edge is farthest outside of, and how far; nothing if it is out of reach.
fn nearest_side(edge: &Edge, corners: &[Vec2], normals: &[Vec2]) -> Option<(usize, f32)> {
    let (mut side, mut best) = (0, -f32::MAX);
    for (i, (&corner, &normal)) in corners.iter().zip(normals).enumerate() {
        let inward = -normal;
        let [a, b] = edge.ends.map(|end| inward.dot(corner - end));
        let distance = super::math::least(a, b);
        if distance > REACH {
            return None;
        }
        if distance > best {
            (side, best) = (i, distance);
        }
    }
    Some((side, best))
}

fn most_opposite(normal: Vec2, normals: &[Vec2]) -> usize {
    let (mut side, mut least) = (0, f32::MAX);
    for (i, &other) in normals.iter().enumerate() {
        let along = normal.dot(other);
        if along < least {
            (side, least) = (i, along);
        }
    }
    side
}

/// The part of `incident` between the ends of `reference`.
fn clip(reference: &Reference, incident: [Corner; 2]) -> Option<[Corner; 2]> {
    let along = reference.normal.right();
    let [a, b] = reference.ends;
    let [number_a, number_b] = reference.numbers;
    let half = clip_by(incident, along, along.dot(a), number_a)?;
    clip_by(half, -along, (-along).dot(b), number_b)
}

/// The part of `segment` on the inner side of a line; nothing if less than two points are left.
fn clip_by(segment: [Corner; 2], normal: Vec2, offset: f32, number: u8) -> Option<[Corner; 2]> {
    let [first, second] = segment;
    let [d0, d1] = [first, second].map(|(point, _)| normal.dot(point) - offset);
    let cut = || {
        let share = d0 / (d0 - d1);
        let Name([_, b, ..]) = first.1;
        let point = first.0 + (second.0 - first.0) * share;
        (point, Name([number, b, CORNER, SIDE]))
    };
    match (d0 <= 0.0, d1 <= 0.0) {
        (true, true) => Some(segment),
        (true, false) if d0 * d1 < 0.0 => Some([first, cut()]),
        (false, true) if d0 * d1 < 0.0 => Some([second, cut()]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::box2d::physics::math::vec2;

    fn ground() -> Edge {
        Edge::new([vec2(-5.0, 0.0), vec2(5.0, 0.0)], 0.1)
    }

    fn at(x: f32, y: f32, angle: f32) -> Placement {
        Placement::around(vec2(x, y), angle, vec2(0.0, 0.0))
    }

    fn seen(edge: &Edge, placement: &Placement) -> Vec<(Vec2, f32)> {
        let square = Polygon::rectangle(vec2(1.0, 1.0));
        let manifold = collide(edge, &square, placement);
        let points = manifold.points().iter();
        points
            .map(|point| {
                let world = manifold.in_world(point, placement);
                assert!(world.normal.y > 0.9, "{:?}", world.normal);
                (world.point, world.separation())
            })
            .collect()
    }

    #[test]
    fn a_square_on_its_side_touches_with_two_points_and_on_its_corner_with_one() {
        let points = seen(&ground(), &at(0.5, 0.99, 0.0));
        assert_eq!(points.len(), 2);
        for (point, separation) in points {
            assert_eq!(point.x.abs(), if point.x > 0.0 { 1.5 } else { 0.5 });
            // Overlap of 0.01, and a skin of 0.01 on both; 1e-6: roundings of numbers near 1.
            assert!((separation - -0.03).abs() < 1e-6);
        }
        let corner = seen(&ground(), &at(0.0, 1.41, std::f32::consts::FRAC_PI_4));
        assert_eq!(corner.len(), 1);
        assert!((corner[0].0.y - (1.41 - 2.0_f32.sqrt())).abs() < 1e-6);
    }

    #[test]
    fn out_of_reach_is_no_contact() {
        assert_eq!(seen(&ground(), &at(0.0, 1.03, 0.0)), []);
        assert_eq!(seen(&ground(), &at(6.1, 0.9, 0.0)), []);
    }

    #[test]
    fn impulses_stay_with_their_points() {
        let square = Polygon::rectangle(vec2(1.0, 1.0));
        let before = {
            let mut before = collide(&ground(), &square, &at(0.0, 0.99, 0.0));
            before.points_mut()[1].push = 3.0;
            before
        };
        let mut after = collide(&ground(), &square, &at(0.1, 0.98, 0.001));
        after.remember(&before);
        let pushes: Vec<f32> = after.points().iter().map(|p| p.push).collect();
        assert_eq!(pushes, [0.0, 3.0]);
    }
}
