//! Bodies: what they are made of, and how they move.

use serde::{Deserialize, Serialize};

use super::math::{Placement, Vec2, vec2};
use super::shape::{Bounds, Polygon};

/// What does not change of a body.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) polygon: Polygon,
    pub(super) friction: f32,
    /// Centre of mass in the body's frame, m.
    pub(crate) local_center: Vec2,
    /// 1/kg.
    pub(crate) inverse_mass: f32,
    /// About the centre of mass, 1/(kg m²).
    pub(crate) inverse_inertia: f32,
}

impl Part {
    pub(crate) fn new(polygon: Polygon, density: f32, friction: f32) -> Self {
        let mass = polygon.mass(density);
        Self {
            polygon,
            friction,
            local_center: mass.center,
            inverse_mass: 1.0 / mass.mass,
            inverse_inertia: 1.0 / mass.inertia,
        }
    }
}

/// Place of a centre of mass, m, and angle, rad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Position {
    pub(super) center: Vec2,
    pub(super) angle: f32,
}

impl Position {
    #[inline]
    pub(super) fn placement(self, local_center: Vec2) -> Placement {
        Placement::around(self.center, self.angle, local_center)
    }

    #[inline]
    pub(super) fn between(self, other: Self, share: f32) -> Self {
        Self {
            center: self.center * (1.0 - share) + other.center * share,
            angle: (1.0 - share) * self.angle + share * other.angle,
        }
    }
}

/// Velocity of a centre of mass, m/s, and angular velocity, rad/s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Velocity {
    pub(crate) linear: Vec2,
    pub(crate) angular: f32,
}

impl Velocity {
    /// Of the point at `arm` from the centre of mass.
    #[inline]
    pub(super) fn at(&self, arm: Vec2) -> Vec2 {
        self.linear + arm.turning(self.angular)
    }
}

/// A way in a time step, from `start` at the share `elapsed` of the step to `end` at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sweep {
    pub(super) start: Position,
    pub(super) end: Position,
    pub(super) elapsed: f32,
}

impl Sweep {
    /// Moves the start forward to `elapsed`.
    pub(super) fn advance(&mut self, elapsed: f32) {
        let share = (elapsed - self.elapsed) / (1.0 - self.elapsed);
        self.start = self.start.between(self.end, share);
        self.elapsed = elapsed;
    }
}

/// What changes of a body.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Body {
    pub(crate) placement: Placement,
    pub(crate) velocity: Velocity,
    pub(crate) awake: bool,
    pub(super) sweep: Sweep,
    pub(super) bounds: Bounds,
}

impl Body {
    /// At rest, with the origin of its frame at `position`.
    pub(super) fn new(part: &Part, position: Vec2, angle: f32) -> Self {
        let placement = Placement::around(position, angle, vec2(0.0, 0.0));
        let at = Position {
            center: placement.apply(part.local_center),
            angle,
        };
        Self {
            placement,
            velocity: Velocity::default(),
            awake: true,
            sweep: Sweep {
                start: at,
                end: at,
                elapsed: 0.0,
            },
            bounds: part.polygon.loose_bounds(&placement),
        }
    }

    /// rad.
    pub(crate) fn angle(&self) -> f32 {
        self.sweep.end.angle
    }

    /// Where its centre of mass lies, m.
    pub(super) fn center(&self) -> Vec2 {
        self.sweep.end.center
    }

    /// Moves to the end of the sweep.
    pub(super) fn settle(&mut self, part: &Part) {
        self.placement = self.sweep.end.placement(part.local_center);
    }

    /// Says whether the loose box had to be drawn anew.
    pub(super) fn update_bounds(&mut self, part: &Part) -> bool {
        let start = self.sweep.start.placement(part.local_center);
        self.bounds.follow(&part.polygon, &start, &self.placement)
    }
}
