//! The world and its step.

use serde::{Deserialize, Serialize};

use super::body::{Body, Part, Position, Sweep, Velocity};
use super::contact::{ContactSolver, Contacts, MAX_CONTACTS};
use super::impact::time_of_impact;
use super::joint::{Hinge, Joint, JointSolver, JointState};
use super::list::List;
use super::manifold::collide;
use super::math::{Vec2, least, vec2};
use super::shape::Edge;
use super::wide::Velocities;
use super::{
    BODIES, EDGES, JOINTS, LINEAR_SLOP, PI, POSITION_ITERATIONS, TIME_STEP, VELOCITY_ITERATIONS,
};

/// The order in which bodies and joints come to the solver: last made, first solved, along the joints.
const ORDER: [usize; BODIES] = [2, 0, 1];
const JOINT_ORDER: [usize; JOINTS] = [1, 0];

/// Share of an overlap that one position iteration takes away, in a whole step and after an impact.
const STIFFNESS: f32 = 0.2;
const IMPACT_STIFFNESS: f32 = 0.75;
const IMPACT_POSITION_ITERATIONS: usize = 20;
/// Impacts of one contact in one step.
const MAX_IMPACTS: u8 = 8;
/// Furthest move and turn in one step, m and rad.
const MAX_MOVE: f32 = 2.0;
const MAX_TURN: f32 = 0.5 * PI;
/// What counts as rest, m/s and rad/s, and how long until sleep, s.
const REST_SPEED: f32 = 0.01;
const REST_TURNING: f32 = 2.0 / 180.0 * PI;
const TIME_TO_SLEEP: f32 = 0.5;

/// What does not change in a world.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) parts: [Part; BODIES],
    pub(crate) joints: [Joint; JOINTS],
    /// m/s², upwards.
    pub(crate) gravity: f32,
}

/// Bodies, ground, and what the solver remembers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct World {
    pub(crate) bodies: [Body; BODIES],
    pub(crate) edges: [Edge; EDGES],
    /// Whether the last thing that happened between a body and an edge was that they met.
    ///
    /// A body that touches two edges and leaves one of them counts as off the ground.
    pub(crate) grounded: [bool; BODIES],
    /// Whether a body ever met the ground.
    pub(crate) hit: [bool; BODIES],
    joints: [JointState; JOINTS],
    contacts: Contacts,
    /// How long all bodies have been at rest, s.
    rest_s: f32,
    /// The touching contacts during a step, in the order in which they are solved; empty between steps.
    #[serde(skip)]
    solvers: List<ContactSolver>,
}

/// What pulls at the first body during a step.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    /// N.
    pub(crate) force: Vec2,
    /// N m.
    pub(crate) torque: f32,
}

/// A step of a world between its parts.
#[derive(Debug)]
struct Work<'a> {
    velocities: [Velocity; BODIES],
    positions: [Position; BODIES],
    joints: [JointSolver<'a>; JOINTS],
}

/// Impacts of a contact in one step.
#[derive(Clone, Copy, Default)]
struct Impacts {
    /// Time of the next one as a share of the step, if it is known; 1 is none.
    next: Option<f32>,
    count: u8,
    ignored: bool,
}

impl World {
    /// All bodies at rest; `places` are the origins of their frames, m, and angles, rad.
    pub(crate) fn new(model: &Model, places: [(Vec2, f32); BODIES], edges: [Edge; EDGES]) -> Self {
        let mut world = Self {
            bodies: std::array::from_fn(|i| Body::new(&model.parts[i], places[i].0, places[i].1)),
            edges,
            grounded: [false; BODIES],
            hit: [false; BODIES],
            joints: [JointState::default(); JOINTS],
            contacts: Contacts::default(),
            rest_s: 0.0,
            solvers: List::default(),
        };
        world.find_contacts([true; BODIES]);
        world
    }

    /// Pushes `body` at `point`, both in the world, N s and m.
    pub(crate) fn push(&mut self, model: &Model, body: usize, impulse: Vec2, point: Vec2) {
        self.wake(body);
        let (part, body) = (&model.parts[body], &mut self.bodies[body]);
        let arm = point - body.center();
        body.velocity.linear += impulse * part.inverse_mass;
        body.velocity.angular += part.inverse_inertia * arm.cross(impulse);
    }

    pub(crate) fn wake(&mut self, body: usize) {
        if !self.bodies[body].awake {
            self.bodies[body].awake = true;
            self.rest_s = 0.0;
        }
    }

    /// One step of several worlds together, each as it would go alone.
    pub(crate) fn step<const N: usize>(
        mut worlds: [&mut Self; N],
        model: &Model,
        loads: [Load; N],
    ) {
        let mut works: [Work<'_>; N] = std::array::from_fn(|i| {
            worlds[i].update_contacts(model);
            worlds[i].prepare(model, loads[i])
        });
        solve_velocities(&mut worlds, &mut works);
        for (world, work) in worlds.iter_mut().zip(works) {
            world.finish(model, work);
        }
    }

    /// Ends contacts whose loose boxes have parted, and looks again at the others.
    fn update_contacts(&mut self, model: &Model) {
        for i in (0..self.contacts.len()).rev() {
            let contact = self.contacts[i];
            let body = contact.body();
            if !self.bodies[body].awake {
                continue;
            }
            let edge = &self.edges[contact.edge()];
            if self.bodies[body].bounds.overlap(&edge.bounds) {
                self.update_contact(model, i);
            } else if self.contacts.remove(i).manifold.touches() {
                self.grounded[body] = false;
            }
        }
    }

    /// Looks where the shapes of a contact touch now; says whether they do.
    fn update_contact(&mut self, model: &Model, i: usize) -> bool {
        let contact = &mut self.contacts[i];
        let body = contact.body();
        let before = contact.manifold;
        contact.manifold = collide(
            &self.edges[contact.edge()],
            &model.parts[body].polygon,
            &self.bodies[body].placement,
        );
        contact.manifold.remember(&before);
        let touches = contact.manifold.touches();
        if touches != before.touches() {
            self.wake(body);
            self.grounded[body] = touches;
            self.hit[body] |= touches;
        }
        touches
    }

    /// Makes contacts where a body whose loose box was drawn anew overlaps that of an edge.
    fn find_contacts(&mut self, moved: [bool; BODIES]) {
        if !moved.contains(&true) {
            return;
        }
        for edge in 0..EDGES {
            for (body, moved) in moved.iter().enumerate() {
                let bounds = &self.bodies[body].bounds;
                if *moved
                    && bounds.overlap(&self.edges[edge].bounds)
                    && self.contacts.insert(body, edge)
                {
                    self.wake(body);
                }
            }
        }
    }

    /// Everything up to the velocities.
    fn prepare<'a>(&mut self, model: &'a Model, load: Load) -> Work<'a> {
        let mut velocities = self.pull(model, load);
        let positions = self.bodies.map(|body| body.sweep.end);
        self.add_touching(model);
        for contact in self.solvers.iter_mut() {
            let i = contact.body;
            contact.prepare(&self.contacts, &model.parts[i], positions[i]);
        }
        for contact in self.solvers.iter() {
            contact.warm_start(&mut velocities[contact.body]);
        }
        let joints = JOINT_ORDER.map(|i| {
            JointSolver::new(
                &model.joints[i],
                [&model.parts[0], &model.parts[i + 1]],
                self.joints[i],
                [positions[0], positions[i + 1]],
                ends(&mut velocities, i),
            )
        });
        Work {
            velocities,
            positions,
            joints,
        }
    }

    /// Everything after the velocities; nothing happens while all sleep.
    fn finish(&mut self, model: &Model, mut work: Work<'_>) {
        if self.bodies.iter().any(|body| body.awake) {
            self.move_all(model, &mut work);
            let moved = std::array::from_fn(|i| self.bodies[i].update_bounds(&model.parts[i]));
            self.find_contacts(moved);
        }
        self.solvers.clear();
        self.solve_impacts(model);
    }

    /// Moves all bodies by a whole step.
    fn move_all(&mut self, model: &Model, work: &mut Work<'_>) {
        let Work {
            velocities,
            positions,
            joints,
        } = work;
        for contact in self.solvers.iter() {
            contact.store(&mut self.contacts);
        }
        for (joint, i) in joints.iter().zip(JOINT_ORDER) {
            self.joints[i] = joint.state;
        }
        for (position, velocity) in positions.iter_mut().zip(velocities.iter_mut()) {
            travel(position, velocity, TIME_STEP);
        }
        let solved = (0..POSITION_ITERATIONS).any(|_| {
            let apart = self.part_positions(model, positions, STIFFNESS) >= -3.0 * LINEAR_SLOP;
            let mut held = true;
            for (joint, i) in joints.iter().zip(JOINT_ORDER) {
                held &= joint.solve_positions(ends(positions, i));
            }
            apart && held
        });
        for i in 0..BODIES {
            self.wake(i);
            let body = &mut self.bodies[i];
            body.sweep = Sweep {
                start: body.sweep.end,
                end: positions[i],
                elapsed: 0.0,
            };
            body.velocity = velocities[i];
            body.settle(&model.parts[i]);
        }
        self.rest(solved);
    }

    /// The velocities after gravity and other forces.
    fn pull(&self, model: &Model, load: Load) -> [Velocity; BODIES] {
        let gravity = vec2(0.0, model.gravity);
        std::array::from_fn(|i| {
            let part = &model.parts[i];
            let Load { force, torque } = if i == 0 { load } else { Load::default() };
            let Velocity { linear, angular } = self.bodies[i].velocity;
            Velocity {
                linear: linear + (gravity + force * part.inverse_mass) * TIME_STEP,
                angular: angular + TIME_STEP * part.inverse_inertia * torque,
            }
        })
    }

    /// Adds the contacts that touch to those that are solved.
    fn add_touching(&mut self, model: &Model) {
        for body in ORDER {
            for i in (0..self.contacts.len()).rev() {
                let contact = &self.contacts[i];
                if contact.body() == body && contact.manifold.touches() {
                    self.add(model, i);
                }
            }
        }
    }

    /// Adds contact `i` to those that are solved, with the impulses of the last step.
    fn add(&mut self, model: &Model, i: usize) {
        let contact = &self.contacts[i];
        let friction = self.edges[contact.edge()].friction;
        let part = &model.parts[contact.body()];
        self.solvers
            .push(ContactSolver::new(i, contact, part, friction));
    }

    /// One iteration on the positions; gives the lowest separation, m.
    fn part_positions(
        &self,
        model: &Model,
        positions: &mut [Position; BODIES],
        stiffness: f32,
    ) -> f32 {
        self.solvers.iter().fold(0.0, |lowest, contact| {
            let i = contact.body;
            let part = &model.parts[i];
            let separation =
                contact.solve_position(&self.contacts, part, &mut positions[i], stiffness);
            least(lowest, separation)
        })
    }

    /// Counts the time at rest, and sends all bodies to sleep after enough of it.
    fn rest(&mut self, solved: bool) {
        let resting = self.bodies.iter().all(|body| {
            let Velocity { linear, angular } = body.velocity;
            angular * angular <= REST_TURNING * REST_TURNING
                && linear.dot(linear) <= REST_SPEED * REST_SPEED
        });
        self.rest_s = if resting {
            self.rest_s + TIME_STEP
        } else {
            0.0
        };
        if resting && self.rest_s >= TIME_TO_SLEEP && solved {
            self.rest_s = 0.0;
            for body in &mut self.bodies {
                body.awake = false;
                body.velocity = Velocity::default();
            }
        }
    }

    /// Finds bodies that went through the ground, in the order of time, and lets them go on from where they met it.
    fn solve_impacts(&mut self, model: &Model) {
        let mut impacts = [Impacts::default(); MAX_CONTACTS];
        // The ground takes part in every sweep: its time is that of the last impact.
        let mut ground_elapsed = 0.0;
        while let Some((i, elapsed)) = self.next_impact(model, &mut impacts, &mut ground_elapsed) {
            let number = self.contacts[i].body();
            let part = &model.parts[number];
            let (body_before, ground_before) = (self.bodies[number], ground_elapsed);
            let body = &mut self.bodies[number];
            body.sweep.advance(elapsed);
            body.sweep.end = body.sweep.start;
            body.settle(part);
            ground_elapsed = elapsed;
            let touches = self.update_contact(model, i);
            impacts[i].next = None;
            impacts[i].count += 1;
            if !touches {
                impacts[i].ignored = true;
                self.bodies[number].sweep = body_before.sweep;
                self.bodies[number].settle(part);
                ground_elapsed = ground_before;
                continue;
            }
            self.solve_impact(model, i, (1.0 - elapsed) * TIME_STEP, &mut impacts);
            let mut moved = [false; BODIES];
            moved[number] = self.bodies[number].update_bounds(part);
            for (contact, impacts) in self.contacts.iter().zip(&mut impacts) {
                if contact.body() == number {
                    impacts.next = None;
                }
            }
            self.find_contacts(moved);
        }
    }

    /// The contact with the earliest impact, and when; nothing if none is left.
    fn next_impact(
        &mut self,
        model: &Model,
        impacts: &mut [Impacts; MAX_CONTACTS],
        ground_elapsed: &mut f32,
    ) -> Option<(usize, f32)> {
        let mut first = None;
        let mut earliest = 1.0;
        for i in (0..self.contacts.len()).rev() {
            let number = self.contacts[i].body();
            if impacts[i].ignored || impacts[i].count > MAX_IMPACTS {
                continue;
            }
            if impacts[i].next.is_none() {
                if !self.bodies[number].awake {
                    continue;
                }
                impacts[i].next = Some(self.find_impact(model, i, ground_elapsed));
            }
            if let Some(next) = impacts[i].next
                && next < earliest
            {
                earliest = next;
                first = Some((i, next));
            }
        }
        first.filter(|_| earliest <= 1.0 - 10.0 * f32::EPSILON)
    }

    /// When the body of a contact meets its edge, as a share of the step; 1 if it does not.
    fn find_impact(&mut self, model: &Model, i: usize, ground_elapsed: &mut f32) -> f32 {
        let contact = &self.contacts[i];
        let part = &model.parts[contact.body()];
        let sweep = &mut self.bodies[contact.body()].sweep;
        if *ground_elapsed < sweep.elapsed {
            *ground_elapsed = sweep.elapsed;
        } else if sweep.elapsed < *ground_elapsed {
            sweep.advance(*ground_elapsed);
        }
        let edge = &self.edges[contact.edge()];
        match time_of_impact(edge, part.polygon.corners(), part.local_center, sweep) {
            Some(share) => least(sweep.elapsed + (1.0 - sweep.elapsed) * share, 1.0),
            None => 1.0,
        }
    }

    /// Solves the contacts of one body at the time of an impact, and moves it through the `rest_s` of the step.
    fn solve_impact(
        &mut self,
        model: &Model,
        first: usize,
        rest_s: f32,
        impacts: &mut [Impacts; MAX_CONTACTS],
    ) {
        let number = self.contacts[first].body();
        let part = &model.parts[number];
        self.wake(number);
        self.add(model, first);
        for i in (0..self.contacts.len()).rev() {
            if i != first && self.contacts[i].body() == number {
                impacts[i].ignored = false;
                if self.update_contact(model, i) {
                    self.add(model, i);
                }
            }
        }

        let mut positions = self.bodies.map(|body| body.sweep.end);
        for _ in 0..IMPACT_POSITION_ITERATIONS {
            let lowest = self.part_positions(model, &mut positions, IMPACT_STIFFNESS);
            if lowest >= -1.5 * LINEAR_SLOP {
                break;
            }
        }
        let mut position = positions[number];
        let mut velocity = self.bodies[number].velocity;
        self.bodies[number].sweep.start = position;
        for contact in self.solvers.iter_mut() {
            contact.cold();
            contact.prepare(&self.contacts, part, position);
        }
        for _ in 0..VELOCITY_ITERATIONS {
            for contact in self.solvers.iter_mut() {
                contact.solve_velocities(&mut velocity);
            }
        }
        self.solvers.clear();
        travel(&mut position, &mut velocity, rest_s);
        let body = &mut self.bodies[number];
        body.sweep.end = position;
        body.velocity = velocity;
        body.settle(part);
    }
}

/// The iterations on the velocities: joints, then contacts.
fn solve_velocities<const N: usize>(worlds: &mut [&mut World; N], works: &mut [Work<'_>; N]) {
    let mut hinges: [Hinge<N>; JOINTS] =
        std::array::from_fn(|k| Hinge::gather(|i| &works[i].joints[k]));
    let mut velocities: [Velocities<N>; BODIES] =
        std::array::from_fn(|body| Velocities::gather(|i| works[i].velocities[body]));
    for _ in 0..VELOCITY_ITERATIONS {
        for (hinge, i) in hinges.iter_mut().zip(JOINT_ORDER) {
            let [a, b] = ends(&mut velocities, i);
            hinge.solve(a, b);
        }
        for (i, world) in worlds.iter_mut().enumerate() {
            for contact in world.solvers.iter_mut() {
                let body = &mut velocities[contact.body];
                let mut velocity = body.of(i);
                contact.solve_velocities(&mut velocity);
                body.set(i, velocity);
            }
        }
    }
    for (i, work) in works.iter_mut().enumerate() {
        work.velocities = velocities.map(|body| body.of(i));
        for (hinge, joint) in hinges.iter().zip(&mut work.joints) {
            hinge.scatter(i, joint);
        }
    }
}

/// The items of the bodies at joint `i`.
#[inline]
fn ends<T>(items: &mut [T; BODIES], i: usize) -> [&mut T; 2] {
    let [first, others @ ..] = items;
    [first, &mut others[i]]
}

/// Moves a position by a velocity, which is first cut down where it is too high to follow.
fn travel(position: &mut Position, velocity: &mut Velocity, time_s: f32) {
    let way = velocity.linear * time_s;
    if way.dot(way) > MAX_MOVE * MAX_MOVE {
        velocity.linear = velocity.linear * (MAX_MOVE / way.length());
    }
    let turn = time_s * velocity.angular;
    if turn * turn > MAX_TURN * MAX_TURN {
        velocity.angular *= MAX_TURN / turn.abs();
    }
    position.center += velocity.linear * time_s;
    position.angle += time_s * velocity.angular;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::box2d::physics::ANGULAR_SLOP;
    use crate::box2d::physics::shape::Polygon;

    /// Three squares of 1 m, hinged at their middles, so that they may lie over one another.
    fn model() -> Model {
        let square = || Polygon::rectangle(vec2(0.5, 0.5));
        let joint = || Joint {
            anchors: [vec2(0.0, 0.0); 2],
            reference_angle: 0.0,
            limits: [-1.0, 1.0],
            motor_speed: 0.0,
            max_torque: 0.0,
        };
        Model {
            parts: std::array::from_fn(|_| Part::new(square(), 1.0, 0.5)),
            joints: [joint(), joint()],
            gravity: -10.0,
        }
    }

    /// Level ground, in pieces of 2 m from -11 to 11.
    fn ground() -> [Edge; EDGES] {
        std::array::from_fn(|i| {
            let left = 2.0 * i as f32 - 11.0;
            Edge::new([vec2(left, 0.0), vec2(left + 2.0, 0.0)], 0.5)
        })
    }

    fn world(model: &Model, x: f32, y: f32) -> World {
        World::new(model, [(vec2(x, y), 0.0); BODIES], ground())
    }

    #[test]
    fn what_falls_comes_to_rest_on_the_ground_and_sleeps() {
        let model = model();
        let mut world = world(&model, 0.2, 2.0);
        for _ in 0..200 {
            World::step([&mut world], &model, [Load::default()]);
        }
        for body in &world.bodies {
            // Skins of 0.01 m rest on one another, less the slop of 0.005 m.
            assert!((body.placement.position.y - 0.515).abs() < 0.005);
            assert!(!body.awake);
        }
        assert_eq!(world.grounded, [true; 3]);
    }

    #[test]
    fn nothing_passes_through_the_ground_however_fast() {
        let model = model();
        let mut world = world(&model, 0.2, 2.0);
        for body in &mut world.bodies {
            // 2 m in a step: twice its size.
            body.velocity.linear = vec2(30.0, -100.0);
        }
        for _ in 0..10 {
            World::step([&mut world], &model, [Load::default()]);
            let lowest = world.bodies.map(|body| body.placement.position.y);
            assert!(lowest.into_iter().all(|y| y > 0.4), "{lowest:?}");
        }
        assert_eq!(world.hit, [true; 3]);
    }

    #[test]
    fn leaving_one_of_two_edges_counts_as_leaving_the_ground() {
        let model = model();
        // Over the end of two pieces.
        let mut world = world(&model, 1.0, 0.51);
        World::step([&mut world], &model, [Load::default()]);
        let touching = |world: &World| {
            let contacts = world.contacts.iter().filter(|c| c.body() == 0);
            contacts.filter(|c| c.manifold.touches()).count()
        };
        assert_eq!((touching(&world), world.grounded[0]), (2, true));
        for body in &mut world.bodies {
            body.velocity.linear.x = 4.0;
        }
        for _ in 0..100 {
            if touching(&world) == 2 {
                World::step([&mut world], &model, [Load::default()]);
            }
        }
        assert_eq!((touching(&world), world.grounded[0]), (1, false));
    }

    #[test]
    fn hinges_hold_and_limits_stop() {
        let model = model();
        let mut world = world(&model, 0.0, 50.0);
        world.bodies[1].velocity.angular = 5.0;
        world.bodies[2].velocity.linear.x = 1.0;
        for _ in 0..100 {
            World::step([&mut world], &model, [Load::default()]);
            let [a, b, _] = &world.bodies;
            // What the solver leaves alone.
            assert!((b.center() - a.center()).length() <= LINEAR_SLOP);
            assert!(b.angle() - a.angle() < 1.0 + 2.0 * ANGULAR_SLOP);
        }
        // Momenta are kept: 1 kg each, one of them at 1 m/s at first.
        let momentum: f32 = world.bodies.iter().map(|b| b.velocity.linear.x).sum();
        assert!((momentum - 1.0).abs() < 1e-4, "{momentum}");
    }

    #[test]
    fn contacts_that_cannot_be_are_not_loaded() {
        let contact = |body, edge| crate::box2d::physics::contact::Contact::new(body, edge);
        assert!(Contacts::try_from(vec![contact(2, 10), contact(2, 9)]).is_ok());
        assert!(Contacts::try_from(vec![contact(3, 0)]).is_err());
        assert!(Contacts::try_from(vec![contact(0, EDGES)]).is_err());
        assert!(Contacts::try_from(vec![contact(1, 1), contact(1, 1)]).is_err());
    }
}
