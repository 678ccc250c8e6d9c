//! Hinges with a motor and limits.

use serde::{Deserialize, Serialize};

use super::body::{Part, Position, Velocity};
use super::math::{Rotation, Vec2, clamp, inverse, vec2};
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

fn dot(a: Vec3, b: Vec3) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn cross(a: Vec3, b: Vec3) -> Vec3 {
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

    /// Solves for pin and limit, by Cramer's rule.
    #[inline]
    fn solve(&self, b: Vec3) -> Vec3 {
        let [first, second, third] = self.columns;
        [
            self.inverse_determinant * dot(b, self.second_cross_third),
            self.inverse_determinant * dot(first, cross(b, third)),
            self.inverse_determinant * dot(first, cross(second, b)),
        ]
    }

    /// Solves for the pin alone.
    #[inline]
    fn solve_pin(&self, b: Vec2) -> Vec2 {
        let [first, second, _] = self.columns;
        let factor = self.inverse_determinant_of_pin;
        vec2(
            factor * (second[1] * b.x - second[0] * b.y),
            factor * (first[0] * b.y - first[1] * b.x),
        )
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

    /// One iteration on the velocities.
    #[inline]
    pub(super) fn solve_velocities(&mut self, [a, b]: [&mut Velocity; 2]) {
        self.solve_motor([a, b]);
        let [arm_a, arm_b] = self.arms;
        let drift = b.at(arm_b) - a.linear - arm_a.turning(a.angular);
        if self.state.at == Limit::Neither {
            let pin = self.resistance.solve_pin(-drift);
            self.state.pin += pin;
            self.push([a, b], pin, [0.0, 0.0]);
            return;
        }
        let [x, y, turn] = self
            .resistance
            .solve([drift.x, drift.y, b.angular - a.angular]);
        let (mut pin, mut turn) = (vec2(-x, -y), -turn);
        let total = self.state.limit + turn;
        let pulls = match self.state.at {
            Limit::Lower => total < 0.0,
            _ => total > 0.0,
        };
        if pulls {
            // A limit only pushes: take back what it did and let the pin do the rest.
            let [.., [x, y, _]] = self.resistance.columns;
            pin = self
                .resistance
                .solve_pin(-drift + vec2(x, y) * self.state.limit);
            turn = -self.state.limit;
            self.state.limit = 0.0;
        } else {
            self.state.limit = total;
        }
        self.state.pin += pin;
        self.push([a, b], pin, [turn, 0.0]);
    }

    #[inline]
    fn solve_motor(&mut self, [a, b]: [&mut Velocity; 2]) {
        let excess = b.angular - a.angular - self.joint.motor_speed;
        let most = TIME_STEP * self.joint.max_torque;
        let before = self.state.motor;
        self.state.motor = clamp(before + -self.motor_inertia * excess, -most, most);
        let turn = self.state.motor - before;
        a.angular -= self.parts[0].inverse_inertia * turn;
        b.angular += self.parts[1].inverse_inertia * turn;
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
