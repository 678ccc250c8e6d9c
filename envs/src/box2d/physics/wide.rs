//! The same number of several worlds, which then step together: one waits for the result of an operation
//! while the others use the processor.

use std::ops::{Add, AddAssign, Mul, Neg, Sub, SubAssign};

use super::body::Velocity;
use super::math::{Vec2, vec2};

/// One number of each of `N` worlds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wide<const N: usize>([f32; N]);

impl<const N: usize> Wide<N> {
    #[inline(always)]
    pub(super) fn from_fn(each: impl FnMut(usize) -> f32) -> Self {
        Self(std::array::from_fn(each))
    }
    #[inline(always)]
    pub(super) fn all(x: f32) -> Self {
        Self([x; N])
    }
    /// Of world `i`.
    #[inline(always)]
    pub(super) fn of(&self, i: usize) -> f32 {
        self.0[i]
    }
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self::from_fn(|i| f(self.0[i], other.0[i]))
    }
    #[inline(always)]
    pub(super) fn clamp(self, low: f32, high: f32) -> Self {
        Self::from_fn(|i| super::math::clamp(self.0[i], low, high))
    }
    /// `yes` where `which` is true, and `no` elsewhere.
    #[inline(always)]
    pub(super) fn choose(which: [bool; N], yes: Self, no: Self) -> Self {
        Self::from_fn(|i| if which[i] { yes.0[i] } else { no.0[i] })
    }
    #[inline(always)]
    pub(super) fn test(self, other: Self, f: impl Fn(f32, f32) -> bool) -> [bool; N] {
        std::array::from_fn(|i| f(self.0[i], other.0[i]))
    }
}

impl<const N: usize> Add for Wide<N> {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
}

impl<const N: usize> Sub for Wide<N> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
}

impl<const N: usize> Mul for Wide<N> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }
}

impl<const N: usize> Mul<f32> for Wide<N> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, factor: f32) -> Self {
        self * Self::all(factor)
    }
}

impl<const N: usize> Neg for Wide<N> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self(self.0.map(|x| -x))
    }
}

impl<const N: usize> AddAssign for Wide<N> {
    #[inline(always)]
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl<const N: usize> SubAssign for Wide<N> {
    #[inline(always)]
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

/// Across and up.
pub(super) type Wide2<const N: usize> = [Wide<N>; 2];

/// One vector of each world.
pub(super) fn wide2<const N: usize>(each: impl Fn(usize) -> Vec2) -> Wide2<N> {
    [Wide::from_fn(|i| each(i).x), Wide::from_fn(|i| each(i).y)]
}

#[inline(always)]
pub(super) fn cross<const N: usize>(a: Wide2<N>, b: Wide2<N>) -> Wide<N> {
    a[0] * b[1] - a[1] * b[0]
}

/// Velocities of one body in each world.
#[derive(Clone, Copy, Debug)]
pub(super) struct Velocities<const N: usize> {
    pub(super) linear: Wide2<N>,
    pub(super) angular: Wide<N>,
}

impl<const N: usize> Velocities<N> {
    pub(super) fn gather(each: impl Fn(usize) -> Velocity) -> Self {
        Self {
            linear: wide2(|i| each(i).linear),
            angular: Wide::from_fn(|i| each(i).angular),
        }
    }

    /// In world `i`.
    pub(super) fn of(&self, i: usize) -> Velocity {
        let [x, y] = self.linear;
        Velocity {
            linear: vec2(x.of(i), y.of(i)),
            angular: self.angular.of(i),
        }
    }

    pub(super) fn set(&mut self, i: usize, velocity: Velocity) {
        self.linear[0].0[i] = velocity.linear.x;
        self.linear[1].0[i] = velocity.linear.y;
        self.angular.0[i] = velocity.angular;
    }

    /// Of the point at `arm` from the centre of mass.
    #[inline(always)]
    pub(super) fn at(&self, arm: Wide2<N>) -> Wide2<N> {
        let [x, y] = self.linear;
        [x + -self.angular * arm[1], y + self.angular * arm[0]]
    }

    /// Applies an impulse at `arm` and a turning impulse to a body of this inverse mass and inertia.
    #[inline(always)]
    pub(super) fn push(
        &mut self,
        [mass, inertia]: [f32; 2],
        arm: Wide2<N>,
        impulse: Wide2<N>,
        turn: Wide<N>,
    ) {
        self.linear[0] += impulse[0] * mass;
        self.linear[1] += impulse[1] * mass;
        self.angular += (cross(arm, impulse) + turn) * inertia;
    }
}
