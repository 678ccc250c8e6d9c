//! Vectors, rotations and placements in the plane, in `f32`.

use std::ops::{Add, AddAssign, Mul, Neg, Sub, SubAssign};

use serde::{Deserialize, Serialize};

/// The smaller one; the second if they do not compare.
#[inline]
pub(super) fn least(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

/// The larger one; the second if they do not compare.
#[inline]
pub(super) fn most(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// `x` moved into `low..=high`; unlike [`f32::clamp`] it takes any three numbers.
#[inline]
pub(super) fn clamp(x: f32, low: f32, high: f32) -> f32 {
    most(low, least(x, high))
}

/// `1 / x`, and 0 for 0.
#[inline]
pub(super) fn inverse(x: f32) -> f32 {
    if x == 0.0 { x } else { 1.0 / x }
}

/// A point or a direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Vec2 {
    pub(crate) x: f32,
    pub(crate) y: f32,
}

#[inline]
pub(crate) fn vec2(x: f32, y: f32) -> Vec2 {
    Vec2 { x, y }
}

impl Vec2 {
    #[inline]
    pub(super) fn dot(self, other: Self) -> f32 {
        self.x * other.x + self.y * other.y
    }
    /// Third component of the cross product.
    #[inline]
    pub(super) fn cross(self, other: Self) -> f32 {
        self.x * other.y - self.y * other.x
    }
    /// Turned by a right angle clockwise.
    #[inline]
    pub(super) fn right(self) -> Self {
        vec2(self.y, -self.x)
    }
    /// Velocity of the point `self` of a body that turns at `w` rad/s.
    #[inline]
    pub(super) fn turning(self, w: f32) -> Self {
        vec2(-w * self.y, w * self.x)
    }
    #[inline]
    pub(super) fn length(self) -> f32 {
        self.dot(self).sqrt()
    }
    /// Of length 1; unchanged if its length is next to nothing.
    #[inline]
    pub(super) fn normalized(self) -> Self {
        let length = self.length();
        if length < f32::EPSILON {
            return self;
        }
        self * (1.0 / length)
    }
    #[inline]
    pub(super) fn least(self, other: Self) -> Self {
        vec2(least(self.x, other.x), least(self.y, other.y))
    }
    #[inline]
    pub(super) fn most(self, other: Self) -> Self {
        vec2(most(self.x, other.x), most(self.y, other.y))
    }
}

impl Add for Vec2 {
    type Output = Self;
    #[inline]
    fn add(self, other: Self) -> Self {
        vec2(self.x + other.x, self.y + other.y)
    }
}

impl Sub for Vec2 {
    type Output = Self;
    #[inline]
    fn sub(self, other: Self) -> Self {
        vec2(self.x - other.x, self.y - other.y)
    }
}

impl Neg for Vec2 {
    type Output = Self;
    #[inline]
    fn neg(self) -> Self {
        vec2(-self.x, -self.y)
    }
}

impl Mul<f32> for Vec2 {
    type Output = Self;
    #[inline]
    fn mul(self, factor: f32) -> Self {
        vec2(factor * self.x, factor * self.y)
    }
}

impl AddAssign for Vec2 {
    #[inline]
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Vec2 {
    #[inline]
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

/// A rotation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rotation {
    sin: f32,
    cos: f32,
}

impl Rotation {
    #[inline]
    pub(super) fn new(angle: f32) -> Self {
        Self {
            sin: angle.sin(),
            cos: angle.cos(),
        }
    }
    #[inline]
    pub(super) fn apply(self, v: Vec2) -> Vec2 {
        vec2(
            self.cos * v.x - self.sin * v.y,
            self.sin * v.x + self.cos * v.y,
        )
    }
    #[inline]
    pub(super) fn undo(self, v: Vec2) -> Vec2 {
        vec2(
            self.cos * v.x + self.sin * v.y,
            -self.sin * v.x + self.cos * v.y,
        )
    }
}

/// Where a body lies: its points turn by `rotation`, then move by `position`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Placement {
    pub(crate) position: Vec2,
    pub(crate) rotation: Rotation,
}

impl Placement {
    /// Of a body whose centre of mass `local_center` lies at `center`.
    #[inline]
    pub(super) fn around(center: Vec2, angle: f32, local_center: Vec2) -> Self {
        let rotation = Rotation::new(angle);
        Self {
            position: center - rotation.apply(local_center),
            rotation,
        }
    }
    /// From the body's frame into the world.
    #[inline]
    pub(crate) fn apply(&self, v: Vec2) -> Vec2 {
        self.rotation.apply(v) + self.position
    }
    /// From the world into the body's frame.
    #[inline]
    pub(super) fn undo(&self, v: Vec2) -> Vec2 {
        self.rotation.undo(v - self.position)
    }
}
