//! When a moving polygon meets an edge: conservative advancement on distances found by GJK.
//!
//! Gilbert, Johnson and Keerthi, *A Fast Procedure for Computing the Distance Between Complex Objects in
//! Three-Dimensional Space*, 1988; Catto, *Continuous Collision*, GDC 2013.

use super::LINEAR_SLOP;
use super::body::Sweep;
use super::math::{Placement, Vec2};
use super::shape::{Edge, SKIN};

/// Distance without skins at which shapes count as touching, m: less than the skins, so that a contact
/// is found there.
const TARGET: f32 = most_const(LINEAR_SLOP, SKIN + SKIN - 3.0 * LINEAR_SLOP);
const TOLERANCE: f32 = 0.25 * LINEAR_SLOP;
const MAX_AXES: usize = 20;
const MAX_SUPPORTS: usize = 20;
const MAX_PUSHES: usize = 16;
const MAX_ROOT_STEPS: usize = 50;

const fn most_const(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// Share of the sweep after which the polygon touches the edge; nothing if it does not, or overlaps it from
/// the start, where only the contact solver helps.
pub(super) fn time_of_impact(
    edge: &Edge,
    corners: &[Vec2],
    local_center: Vec2,
    sweep: &Sweep,
) -> Option<f32> {
    let motion = Motion {
        edge: &edge.ends,
        corners,
        local_center,
        sweep: within_a_turn(*sweep),
    };
    let mut time = 0.0;
    let mut simplex = Simplex::default();
    for _ in 0..MAX_AXES {
        let distance = simplex.distance(motion.edge, corners, &motion.at(time));
        if distance <= 0.0 {
            return None;
        }
        if distance < TARGET + TOLERANCE {
            return Some(time);
        }
        let axis = Axis::new(&simplex, &motion, time);
        match motion.advance(&axis, time) {
            Advance::To(later) => time = later,
            Advance::Touch => return Some(time),
            Advance::Nothing => return None,
        }
    }
    None
}

/// Large angles make the root finder fail.
fn within_a_turn(mut sweep: Sweep) -> Sweep {
    const TURN: f32 = 2.0 * super::PI;
    let turns = TURN * (sweep.start.angle / TURN).floor();
    sweep.start.angle -= turns;
    sweep.end.angle -= turns;
    sweep
}

struct Motion<'a> {
    edge: &'a [Vec2; 2],
    corners: &'a [Vec2],
    local_center: Vec2,
    sweep: Sweep,
}

enum Advance {
    /// Apart along the axis until then.
    To(f32),
    /// Touching already.
    Touch,
    /// Apart along the axis to the end of the sweep, or no solution.
    Nothing,
}

impl Motion<'_> {
    fn at(&self, time: f32) -> Placement {
        let Sweep { start, end, .. } = self.sweep;
        start.between(end, time).placement(self.local_center)
    }

    /// Pushes the end of the sweep back until the deepest points are at the target distance along `axis`.
    fn advance(&self, axis: &Axis, time: f32) -> Advance {
        let mut end = 1.0;
        for _ in 0..MAX_PUSHES {
            let at = self.at(end);
            let deepest = axis.deepest(self, &at);
            let end_distance = axis.distance(self, deepest, &at);
            if end_distance > TARGET + TOLERANCE {
                return Advance::Nothing;
            }
            if end_distance > TARGET - TOLERANCE {
                return Advance::To(end);
            }
            let start_distance = axis.distance(self, deepest, &self.at(time));
            if start_distance < TARGET - TOLERANCE {
                return Advance::Nothing;
            }
            if start_distance <= TARGET + TOLERANCE {
                return Advance::Touch;
            }
            let distance = |time| axis.distance(self, deepest, &self.at(time));
            if let Some(root) = root(distance, [time, end], [start_distance, end_distance]) {
                end = root;
            }
        }
        // No progress: look for another axis from the same time.
        Advance::To(time)
    }
}

/// When `distance` passes the target, by turns of bisection and the secant.
fn root(
    distance: impl Fn(f32) -> f32,
    [mut early, mut late]: [f32; 2],
    [mut far, mut near]: [f32; 2],
) -> Option<f32> {
    for step in 0..MAX_ROOT_STEPS {
        let time = if step % 2 == 1 {
            early + (TARGET - far) * (late - early) / (near - far)
        } else {
            0.5 * (early + late)
        };
        let found = distance(time);
        if (found - TARGET).abs() < TOLERANCE {
            return Some(time);
        }
        if found > TARGET {
            (early, far) = (time, found);
        } else {
            (late, near) = (time, found);
        }
    }
    None
}

/// Number of a corner of the edge and of the polygon.
type Pair = [usize; 2];

/// Direction along which the distance is taken while the polygon moves.
enum Axis {
    /// Between two corners; fixed in the world.
    Corners(Vec2),
    /// Across the edge.
    Edge { normal: Vec2, middle: Vec2 },
    /// Across a side of the polygon; turns with it.
    Side { normal: Vec2, middle: Vec2 },
}

impl Axis {
    fn new(simplex: &Simplex, motion: &Motion<'_>, time: f32) -> Self {
        let at = motion.at(time);
        let first = simplex.supports[0].pair;
        if simplex.count == 1 {
            let [a, b] = first;
            let between = at.apply(motion.corners[b]) - motion.edge[a];
            return Self::Corners(between.normalized());
        }
        let second = simplex.supports[1].pair;
        if first[0] == second[0] {
            let [a, b] = [motion.corners[first[1]], motion.corners[second[1]]];
            let normal = (b - a).right().normalized();
            let middle = (a + b) * 0.5;
            let outward = at.rotation.apply(normal);
            let distance = (motion.edge[first[0]] - at.apply(middle)).dot(outward);
            let normal = if distance < 0.0 { -normal } else { normal };
            return Self::Side { normal, middle };
        }
        let [a, b] = [motion.edge[first[0]], motion.edge[second[0]]];
        let normal = (b - a).right().normalized();
        let middle = (a + b) * 0.5;
        let distance = (at.apply(motion.corners[first[1]]) - middle).dot(normal);
        let normal = if distance < 0.0 { -normal } else { normal };
        Self::Edge { normal, middle }
    }

    /// The corners that are nearest along the axis.
    fn deepest(&self, motion: &Motion<'_>, at: &Placement) -> Pair {
        match *self {
            Self::Corners(axis) => [
                farthest(motion.edge, axis),
                farthest(motion.corners, at.rotation.undo(-axis)),
            ],
            Self::Edge { normal, .. } => [0, farthest(motion.corners, at.rotation.undo(-normal))],
            Self::Side { normal, .. } => [farthest(motion.edge, -at.rotation.apply(normal)), 0],
        }
    }

    fn distance(&self, motion: &Motion<'_>, [a, b]: Pair, at: &Placement) -> f32 {
        match *self {
            Self::Corners(axis) => (at.apply(motion.corners[b]) - motion.edge[a]).dot(axis),
            Self::Edge { normal, middle } => (at.apply(motion.corners[b]) - middle).dot(normal),
            Self::Side { normal, middle } => {
                (motion.edge[a] - at.apply(middle)).dot(at.rotation.apply(normal))
            }
        }
    }
}

/// The corner farthest in a direction; the first of equals.
fn farthest(corners: &[Vec2], direction: Vec2) -> usize {
    let (mut best, mut value) = (0, corners[0].dot(direction));
    for (i, corner) in corners.iter().enumerate().skip(1) {
        let along = corner.dot(direction);
        if along > value {
            (best, value) = (i, along);
        }
    }
    best
}

/// Difference of a corner of the polygon and one of the edge.
#[derive(Clone, Copy, Default)]
struct Support {
    pair: Pair,
    on_edge: Vec2,
    on_polygon: Vec2,
    difference: Vec2,
    /// Share in the nearest point.
    weight: f32,
}

/// Up to three supports whose hull holds the difference that is nearest to 0.
#[derive(Default)]
struct Simplex {
    supports: [Support; 3],
    count: usize,
    /// Length or area at the last use.
    size: f32,
}

impl Simplex {
    /// Distance of the shapes; begins with the supports of the last call.
    fn distance(&mut self, edge: &[Vec2; 2], corners: &[Vec2], at: &Placement) -> f32 {
        let support = |pair: Pair| {
            let (on_edge, on_polygon) = (edge[pair[0]], at.apply(corners[pair[1]]));
            Support {
                pair,
                on_edge,
                on_polygon,
                difference: on_polygon - on_edge,
                weight: 0.0,
            }
        };
        self.restart(support);
        for _ in 0..MAX_SUPPORTS {
            let before = self.pairs();
            let known = self.count;
            match known {
                2 => self.reduce_segment(),
                3 => self.reduce_triangle(),
                _ => {}
            }
            if self.count == 3 {
                break;
            }
            let direction = self.towards_zero();
            if direction.dot(direction) < f32::EPSILON * f32::EPSILON {
                break;
            }
            let pair = [
                farthest(edge, -direction),
                farthest(corners, at.rotation.undo(direction)),
            ];
            if before[..known].contains(&pair) {
                break;
            }
            self.supports[self.count] = support(pair);
            self.count += 1;
        }
        self.size = self.measure();
        self.gap()
    }

    fn restart(&mut self, support: impl Fn(Pair) -> Support) {
        for known in &mut self.supports[..self.count] {
            *known = support(known.pair);
        }
        let size = self.measure();
        let stale = self.count > 1
            && (size < 0.5 * self.size || 2.0 * self.size < size || size < f32::EPSILON);
        if stale || self.count == 0 {
            self.supports[0] = support([0, 0]);
            self.supports[0].weight = 1.0;
            self.count = 1;
        }
    }

    fn pairs(&self) -> [Pair; 3] {
        self.supports.map(|support| support.pair)
    }

    fn measure(&self) -> f32 {
        let [a, b, c] = self.supports.map(|support| support.difference);
        match self.count {
            2 => (a - b).length(),
            3 => (b - a).cross(c - a),
            _ => 0.0,
        }
    }

    fn towards_zero(&self) -> Vec2 {
        let [a, b, _] = self.supports.map(|support| support.difference);
        if self.count == 1 {
            return -a;
        }
        let side = b - a;
        if side.cross(-a) > 0.0 {
            -side.right()
        } else {
            side.right()
        }
    }

    /// Distance between the nearest points.
    fn gap(&self) -> f32 {
        let [a, b, _] = self.supports;
        match self.count {
            1 => (a.on_edge - a.on_polygon).length(),
            2 => {
                let on_edge = a.on_edge * a.weight + b.on_edge * b.weight;
                let on_polygon = a.on_polygon * a.weight + b.on_polygon * b.weight;
                (on_edge - on_polygon).length()
            }
            _ => 0.0,
        }
    }

    fn keep<const N: usize>(&mut self, kept: [(usize, f32); N]) {
        let all = self.supports;
        for (slot, (from, weight)) in self.supports.iter_mut().zip(kept) {
            *slot = Support {
                weight,
                ..all[from]
            };
        }
        self.count = N;
    }

    /// Shares of the ends of a segment in its point nearest to 0, not yet divided by their sum.
    fn shares(&self, i: usize, j: usize) -> [f32; 2] {
        let [a, b] = [self.supports[i].difference, self.supports[j].difference];
        let along = b - a;
        [b.dot(along), -a.dot(along)]
    }

    fn keep_segment(&mut self, [i, j]: Pair, [a, b]: [f32; 2]) {
        let inverse = 1.0 / (a + b);
        self.keep([(i, a * inverse), (j, b * inverse)]);
    }

    fn reduce_segment(&mut self) {
        let [a, b] = self.shares(0, 1);
        if b <= 0.0 {
            self.keep([(0, 1.0)]);
        } else if a <= 0.0 {
            self.keep([(1, 1.0)]);
        } else {
            self.keep_segment([0, 1], [a, b]);
        }
    }

    /// By the region of the triangle that 0 lies in front of.
    fn reduce_triangle(&mut self) {
        let [w0, w1, w2] = self.supports.map(|support| support.difference);
        let [a01, b01] = self.shares(0, 1);
        let [a02, b02] = self.shares(0, 2);
        let [a12, b12] = self.shares(1, 2);
        let area = (w1 - w0).cross(w2 - w0);
        let inside = [
            area * w1.cross(w2),
            area * w2.cross(w0),
            area * w0.cross(w1),
        ];
        if b01 <= 0.0 && b02 <= 0.0 {
            self.keep([(0, 1.0)]);
        } else if a01 > 0.0 && b01 > 0.0 && inside[2] <= 0.0 {
            self.keep_segment([0, 1], [a01, b01]);
        } else if a02 > 0.0 && b02 > 0.0 && inside[1] <= 0.0 {
            self.keep_segment([0, 2], [a02, b02]);
        } else if a01 <= 0.0 && b12 <= 0.0 {
            self.keep([(1, 1.0)]);
        } else if a02 <= 0.0 && a12 <= 0.0 {
            self.keep([(2, 1.0)]);
        } else if a12 > 0.0 && b12 > 0.0 && inside[0] <= 0.0 {
            self.keep_segment([2, 1], [b12, a12]);
        } else {
            let inverse = 1.0 / (inside[0] + inside[1] + inside[2]);
            let weights = inside.map(|share| share * inverse);
            self.keep([(0, weights[0]), (1, weights[1]), (2, weights[2])]);
        }
    }
}
