//! Rigid bodies over fixed ground, as Box2D 2.3 moves them.
//!
//! Three polygons, two hinges between the first and each of the others, and a chain of edges that do not
//! move; the moving bodies meet the ground only. A step finds contacts, solves velocities and then positions
//! one constraint after the other, starting from the impulses of the step before, sends to sleep what has
//! rested for half a second, and moves bodies that would pass through the ground back to where they touch it.
//!
//! The state is plain data, so that a copy goes on exactly as the original would. Nearly all of a step is spent in
//! the iterations on the hinges, each of which waits for the one before; several worlds therefore step together,
//! each as it would alone.
//!
//! # Reference
//! Box2D 2.3, Erin Catto, <https://box2d.org>, zlib licence: its solvers, constants and, to the last bit, the order
//! of its operations, with the sweep of 2.3.0. The code is our own, written anew, and not the original software.
//! Catto, *Iterative Dynamics with Temporal Coherence*, GDC 2005; *Modeling and Solving Constraints*, GDC 2009;
//! *Continuous Collision*, GDC 2013.
//!
//! Deviations: what cannot occur here is left out (bodies that meet bodies, circles, bouncing, sensors, damping,
//! bullets); what lies near is found by asking all edges rather than a tree.

mod body;
mod contact;
mod impact;
mod joint;
mod list;
mod manifold;
mod math;
mod shape;
mod wide;
mod world;

pub(crate) use body::Part;
pub(crate) use joint::Joint;
pub(crate) use math::{Vec2, vec2};
pub(crate) use shape::{Edge, Polygon};
pub(crate) use world::{Load, Model, World};

/// Bodies that move.
pub(crate) const BODIES: usize = 3;
/// Hinges: between the first body and each of the others.
pub(crate) const JOINTS: usize = BODIES - 1;
/// Pieces of the ground.
pub(crate) const EDGES: usize = 11;
/// Time between two steps, s.
pub(crate) const TIME_STEP: f32 = 0.02;
/// Iterations on the velocities and on the positions.
const VELOCITY_ITERATIONS: usize = 6 * 30;
const POSITION_ITERATIONS: usize = 2 * 30;

const PI: f32 = std::f32::consts::PI;
/// Overlap that is left alone, m, so that contacts last.
const LINEAR_SLOP: f32 = 0.005;
/// The same for limits, rad.
const ANGULAR_SLOP: f32 = 2.0 / 180.0 * PI;
