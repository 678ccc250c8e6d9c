//! Hinges with a motor and limits.

use std::ops::{Add, Mul, Sub};

use serde::{Deserialize, Serialize};

use super::body::{Part, Position, Velocity};
use super::math::{Rotation, Vec2, clamp, inverse, vec2};
use super::wide::{Velocities, Wide, Wide2, wide2};
use super::{ANGULAR_SLOP, LINEAR_SLOP, TIME_STEP};

/// Largest correction of an angle in one iteration, rad.
const MAX_CORRECTION: f32 = 8.0 / 180.0 * super::PI;

/// A hinge between two bodies, A and B.
#[derive(Clone, Debug)]
pub(crate) struct Joint {
    /// Where it holds A and B, in their frames, m.
    pub(crate) anchors: [Vec2; 2],
    /// Angle of B less angle of A that counts as 0, rad.
    pub(crate) reference_angle: f32,
    /// Lowest and highest angle, rad.
    pub(crate) limits: [f32; 2],
    /// Speed that the motor wants, rad/s.
    pub(crate) motor_speed: f32,
    /// What the motor can do, N m.
    pub(crate) max_torque: f32,
}

/// What a hinge remembers from step to step: the impulses of the last one begin the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct JointState {
    /// N s.
    pin: Vec2,
    /// N m s.
    limit: f32,
    /// N m s.
    motor: f32,
    at: Limit,
}

/// Which limit is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Limit {
    #[default]
    Neither,
    Lower,
    Upper,
}

type Vec3 = [f32; 3];

#[inline(always)]
fn dot<T: Copy + Add<Output = T> + Mul<Output = T>>(a: [T; 3], b: [T; 3]) -> T {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

#[inline(always)]
fn cross<T: Copy + Sub<Output = T> + Mul<Output = T>>(a: [T; 3], b: [T; 3]) -> [T; 3] {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}

/// Inverse mass seen by the two parts of the pin and the limit: a symmetric matrix, by columns.
#[derive(Clone, Copy, Debug)]
struct Resistance {
    columns: [Vec3; 3],
    second_cross_third: Vec3,
    inverse_determinant: f32,
    inverse_determinant_of_pin: f32,
}

impl Resistance {
    fn new(columns: [Vec3; 3]) -> Self {
        let [first, second, third] = columns;
        let second_cross_third = cross(second, third);
        Self {
            columns,
            second_cross_third,
            inverse_determinant: inverse(dot(first, second_cross_third)),
            inverse_determinant_of_pin: inverse(first[0] * second[1] - second[0] * first[1]),
        }
    }
}

/// A hinge during one step.
#[derive(Debug)]
pub(super) struct JointSolver<'a> {
    joint: &'a Joint,
    parts: [&'a Part; 2],
    pub(super) state: JointState,
    /// From the centres of mass to the pin, m.
    arms: [Vec2; 2],
    resistance: Resistance,
    /// Inertia seen by the motor, kg m².
    motor_inertia: f32,
}

impl<'a> JointSolver<'a> {
    /// Starts from the impulses of the last step, which change the `velocities`.
    pub(super) fn new(
        joint: &'a Joint,
        parts: [&'a Part; 2],
        state: JointState,
        positions: [Position; 2],
        velocities: [&mut Velocity; 2],
    ) -> Self {
        let arms: [Vec2; 2] = std::array::from_fn(|i| {
            let arm = joint.anchors[i] - parts[i].local_center;
            Rotation::new(positions[i].angle).apply(arm)
        });
        let mut solver = Self {
            joint,
            parts,
            state,
            arms,
            resistance: resistance(parts, arms),
            motor_inertia: inverse(parts[0].inverse_inertia + parts[1].inverse_inertia),
        };
        solver.find_limit(positions[1].angle - positions[0].angle - joint.reference_angle);
        let JointState {
            pin, limit, motor, ..
        } = solver.state;
        solver.push(velocities, pin, [motor, limit]);
        solver
    }

    fn find_limit(&mut self, angle: f32) {
        let [low, high] = self.joint.limits;
        let at = if angle <= low {
            Limit::Lower
        } else if angle >= high {
            Limit::Upper
        } else {
            Limit::Neither
        };
        if at != self.state.at || at == Limit::Neither {
            self.state.limit = 0.0;
        }
        self.state.at = at;
    }

    /// Applies an impulse at the pin and turning impulses.
    #[inline]
    fn push(&self, [a, b]: [&mut Velocity; 2], pin: Vec2, turns: [f32; 2]) {
        let [part_a, part_b] = self.parts;
        let [arm_a, arm_b] = self.arms;
        a.linear -= pin * part_a.inverse_mass;
        a.angular -= part_a.inverse_inertia * (arm_a.cross(pin) + turns[0] + turns[1]);
        b.linear += pin * part_b.inverse_mass;
        b.angular += part_b.inverse_inertia * (arm_b.cross(pin) + turns[0] + turns[1]);
    }

    /// One iteration on the positions; says whether they were good enough before.
    pub(super) fn solve_positions(&self, [a, b]: [&mut Position; 2]) -> bool {
        let [part_a, part_b] = self.parts;
        let (i_a, i_b) = (part_a.inverse_inertia, part_b.inverse_inertia);
        let (turn, angle_error) = self.limit_correction(b.angle - a.angle);
        a.angle -= i_a * turn;
        b.angle += i_b * turn;
        let r_a = Rotation::new(a.angle).apply(self.joint.anchors[0] - part_a.local_center);
        let r_b = Rotation::new(b.angle).apply(self.joint.anchors[1] - part_b.local_center);
        let gap = b.center + r_b - a.center - r_a;
        let masses = part_a.inverse_mass + part_b.inverse_mass;
        let k_xx = masses + i_a * r_a.y * r_a.y + i_b * r_b.y * r_b.y;
        let k_xy = -i_a * r_a.x * r_a.y - i_b * r_b.x * r_b.y;
        let k_yy = masses + i_a * r_a.x * r_a.x + i_b * r_b.x * r_b.x;
        let factor = inverse(k_xx * k_yy - k_xy * k_xy);
        let impulse = -vec2(
            factor * (k_yy * gap.x - k_xy * gap.y),
            factor * (k_xx * gap.y - k_xy * gap.x),
        );
        a.center -= impulse * part_a.inverse_mass;
        a.angle -= i_a * r_a.cross(impulse);
        b.center += impulse * part_b.inverse_mass;
        b.angle += i_b * r_b.cross(impulse);
        gap.length() <= LINEAR_SLOP && angle_error <= ANGULAR_SLOP
    }

    /// Turning impulse that brings the angle back between the limits, and by how much it is outside.
    fn limit_correction(&self, angle: f32) -> (f32, f32) {
        let angle = angle - self.joint.reference_angle;
        let [low, high] = self.joint.limits;
        let (correction, error) = match self.state.at {
            Limit::Neither => return (0.0, 0.0),
            Limit::Lower => {
                let below = angle - low;
                (clamp(below + ANGULAR_SLOP, -MAX_CORRECTION, 0.0), -below)
            }
            Limit::Upper => {
                let above = angle - high;
                (clamp(above - ANGULAR_SLOP, 0.0, MAX_CORRECTION), above)
            }
        };
        (-self.motor_inertia * correction, error)
    }
}

/// A hinge of `N` worlds while their velocities are solved.
#[derive(Debug)]
pub(super) struct Hinge<const N: usize> {
    /// Inverse mass and inertia of both bodies.
    inverse: [[f32; 2]; 2],
    arms: [Wide2<N>; 2],
    columns: [[Wide<N>; 3]; 3],
    second_cross_third: [Wide<N>; 3],
    inverse_determinant: Wide<N>,
    inverse_determinant_of_pin: Wide<N>,
    motor_inertia: f32,
    motor_speed: f32,
    most_motor: f32,
    /// In which direction the limit that is reached pushes; 0 if none is.
    direction: Wide<N>,
    pin: Wide2<N>,
    limit: Wide<N>,
    motor: Wide<N>,
}

impl<const N: usize> Hinge<N> {
    /// The hinges of several worlds; `each` gives that of world `i`.
    pub(super) fn gather<'a>(each: impl Fn(usize) -> &'a JointSolver<'a>) -> Self {
        let JointSolver { joint, parts, .. } = each(0);
        let wide3 = |of: &dyn Fn(&Resistance) -> Vec3| -> [Wide<N>; 3] {
            std::array::from_fn(|k| Wide::from_fn(|i| of(&each(i).resistance)[k]))
        };
        Self {
            inverse: parts.map(|part| [part.inverse_mass, part.inverse_inertia]),
            arms: [0, 1].map(|k| wide2(|i| each(i).arms[k])),
            columns: [0, 1, 2].map(|k| wide3(&|r| r.columns[k])),
            second_cross_third: wide3(&|r| r.second_cross_third),
            inverse_determinant: Wide::from_fn(|i| each(i).resistance.inverse_determinant),
            inverse_determinant_of_pin: Wide::from_fn(|i| {
                each(i).resistance.inverse_determinant_of_pin
            }),
            motor_inertia: each(0).motor_inertia,
            motor_speed: joint.motor_speed,
            most_motor: TIME_STEP * joint.max_torque,
            direction: Wide::from_fn(|i| match each(i).state.at {
                Limit::Neither => 0.0,
                Limit::Lower => 1.0,
                Limit::Upper => -1.0,
            }),
            pin: wide2(|i| each(i).state.pin),
            limit: Wide::from_fn(|i| each(i).state.limit),
            motor: Wide::from_fn(|i| each(i).state.motor),
        }
    }

    /// Takes over the impulses of world `i`.
    pub(super) fn scatter(&self, i: usize, solver: &mut JointSolver<'_>) {
        let state = &mut solver.state;
        state.pin = vec2(self.pin[0].of(i), self.pin[1].of(i));
        (state.limit, state.motor) = (self.limit.of(i), self.motor.of(i));
    }

    /// One iteration.
    #[inline(always)]
    pub(super) fn solve(&mut self, a: &mut Velocities<N>, b: &mut Velocities<N>) {
        self.solve_motor(a, b);
        let ([arm, _], at_b) = (self.arms, b.at(self.arms[1]));
        let drift = [
            at_b[0] - a.linear[0] - -a.angular * arm[1],
            at_b[1] - a.linear[1] - a.angular * arm[0],
        ];
        let [x, y, turn] = self
            .solve_all([drift[0], drift[1], b.angular - a.angular])
            .map(|x| -x);
        let total = self.limit + turn;
        let (mut pin, mut turn, mut limit) = ([x, y], turn, total);
        // A limit only pushes. Where it would pull, what it did is taken back, and the pin does the rest, as
        // it does where no limit is reached.
        let alone = self.direction.test(total, |direction, total| {
            (direction == 0.0) | (direction * total < 0.0)
        });
        if alone.contains(&true) {
            let [.., [x, y, _]] = self.columns;
            let [x, y] = self.solve_pin([-drift[0] + x * self.limit, -drift[1] + y * self.limit]);
            pin = [
                Wide::choose(alone, x, pin[0]),
                Wide::choose(alone, y, pin[1]),
            ];
            turn = Wide::choose(alone, -self.limit, turn);
            limit = Wide::choose(alone, Wide::all(0.0), limit);
        }
        self.limit = limit;
        self.pin = [self.pin[0] + pin[0], self.pin[1] + pin[1]];
        a.push(self.inverse[0].map(|x| -x), self.arms[0], pin, turn);
        b.push(self.inverse[1], self.arms[1], pin, turn);
    }

    #[inline(always)]
    fn solve_motor(&mut self, a: &mut Velocities<N>, b: &mut Velocities<N>) {
        let excess = b.angular - a.angular - Wide::all(self.motor_speed);
        let before = self.motor;
        let wanted = before + excess * -self.motor_inertia;
        self.motor = wanted.clamp(-self.most_motor, self.most_motor);
        let turn = self.motor - before;
        a.angular -= turn * self.inverse[0][1];
        b.angular += turn * self.inverse[1][1];
    }

    /// Pin and limit, by Cramer's rule.
    #[inline(always)]
    fn solve_all(&self, b: [Wide<N>; 3]) -> [Wide<N>; 3] {
        let [first, second, third] = self.columns;
        [
            dot(b, self.second_cross_third),
            dot(first, cross(b, third)),
            dot(first, cross(second, b)),
        ]
        .map(|x| self.inverse_determinant * x)
    }

    /// The pin alone.
    #[inline(always)]
    fn solve_pin(&self, [x, y]: Wide2<N>) -> Wide2<N> {
        let [first, second, _] = self.columns;
        let factor = self.inverse_determinant_of_pin;
        [
            factor * (second[1] * x - second[0] * y),
            factor * (first[0] * y - first[1] * x),
        ]
    }
}

fn resistance([part_a, part_b]: [&Part; 2], [r_a, r_b]: [Vec2; 2]) -> Resistance {
    let (i_a, i_b) = (part_a.inverse_inertia, part_b.inverse_inertia);
    let masses = part_a.inverse_mass + part_b.inverse_mass;
    let k_xx = masses + r_a.y * r_a.y * i_a + r_b.y * r_b.y * i_b;
    let k_xy = -r_a.y * r_a.x * i_a - r_b.y * r_b.x * i_b;
    let k_yy = masses + r_a.x * r_a.x * i_a + r_b.x * r_b.x * i_b;
    let k_xz = -r_a.y * i_a - r_b.y * i_b;
    let k_yz = r_a.x * i_a + r_b.x * i_b;
    Resistance::new([
        [k_xx, k_xy, k_xz],
        [k_xy, k_yy, k_yz],
        [k_xz, k_yz, i_a + i_b],
    ])
}
