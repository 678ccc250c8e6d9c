//! Contacts of bodies with the ground, and the solver that keeps them apart.

use serde::{Deserialize, Serialize};

use super::LINEAR_SLOP;
use super::body::{Part, Position, Velocity};
use super::list::List;
use super::manifold::Manifold;
use super::math::{Vec2, clamp, least, most, vec2};
use super::{BODIES, EDGES};

/// Largest correction of a position in one iteration, m.
const MAX_CORRECTION: f32 = 0.2;
/// Two points that resist almost alike are solved as one.
const MAX_CONDITION: f32 = 1000.0;

/// A body near an edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Contact {
    body: u8,
    edge: u8,
    pub(super) manifold: Manifold,
}

impl Contact {
    pub(super) fn new(body: usize, edge: usize) -> Self {
        Self {
            body: body as u8,
            edge: edge as u8,
            manifold: Manifold::default(),
        }
    }
    pub(super) fn body(&self) -> usize {
        usize::from(self.body)
    }
    pub(super) fn edge(&self) -> usize {
        usize::from(self.edge)
    }
}

/// At most one contact for each pair, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Contact>", into = "Vec<Contact>")]
pub(super) struct Contacts(List<Contact>);

/// Contacts there can be.
pub(super) const MAX_CONTACTS: usize = BODIES * EDGES;

impl TryFrom<Vec<Contact>> for Contacts {
    type Error = &'static str;

    /// What is loaded may be anything: numbers are checked here so that nothing is out of bounds later.
    fn try_from(contacts: Vec<Contact>) -> Result<Self, Self::Error> {
        let mut known = [[false; EDGES]; BODIES];
        for contact in &contacts {
            let pair = known
                .get_mut(contact.body())
                .and_then(|edges| edges.get_mut(contact.edge()))
                .ok_or("a contact of a body or an edge that is not there")?;
            if std::mem::replace(pair, true) {
                return Err("two contacts of one pair");
            }
        }
        let mut list = List::default();
        for contact in contacts {
            list.push(contact);
        }
        Ok(Self(list))
    }
}

impl From<Contacts> for Vec<Contact> {
    fn from(contacts: Contacts) -> Self {
        contacts.to_vec()
    }
}

impl std::ops::Deref for Contacts {
    type Target = [Contact];
    fn deref(&self) -> &[Contact] {
        &self.0
    }
}

impl std::ops::DerefMut for Contacts {
    fn deref_mut(&mut self) -> &mut [Contact] {
        &mut self.0
    }
}

impl Contacts {
    /// Unless the pair has one.
    pub(super) fn insert(&mut self, body: usize, edge: usize) -> bool {
        let new = !self.iter().any(|c| (c.body(), c.edge()) == (body, edge));
        if new {
            self.0.push(Contact::new(body, edge));
        }
        new
    }

    pub(super) fn remove(&mut self, i: usize) -> Contact {
        self.0.remove(i)
    }
}

/// A point of a contact during one step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Point {
    /// From the body's centre of mass, m.
    arm: Vec2,
    /// Inertia against a push along the normal and along the edge, kg.
    normal_mass: f32,
    tangent_mass: f32,
    /// Impulses so far, N s.
    push: f32,
    drag: f32,
}

/// A symmetric 2 x 2 matrix.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Symmetric {
    xx: f32,
    xy: f32,
    yy: f32,
}

impl Symmetric {
    fn apply(&self, v: Vec2) -> Vec2 {
        vec2(self.xx * v.x + self.xy * v.y, self.xy * v.x + self.yy * v.y)
    }

    fn inverse(&self) -> Self {
        let factor = super::math::inverse(self.xx * self.yy - self.xy * self.xy);
        Self {
            xx: factor * self.yy,
            xy: -factor * self.xy,
            yy: factor * self.xx,
        }
    }
}

/// A contact during one step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct ContactSolver {
    /// Its number among the contacts.
    contact: usize,
    /// Number of its body.
    pub(super) body: usize,
    friction: f32,
    inverse_mass: f32,
    inverse_inertia: f32,
    normal: Vec2,
    points: [Point; 2],
    count: usize,
    /// What both points together resist, inverse and plain.
    resistance: Symmetric,
    response: Symmetric,
}

impl ContactSolver {
    /// With the impulses of the last step.
    pub(super) fn new(number: usize, contact: &Contact, part: &Part, edge_friction: f32) -> Self {
        let mut solver = Self {
            contact: number,
            body: contact.body(),
            friction: (edge_friction * part.friction).sqrt(),
            inverse_mass: part.inverse_mass,
            inverse_inertia: part.inverse_inertia,
            count: contact.manifold.points().len(),
            ..Self::default()
        };
        for (point, touch) in solver.points.iter_mut().zip(contact.manifold.points()) {
            (point.push, point.drag) = (touch.push, touch.drag);
        }
        solver
    }

    /// Measures the points with the body at `position`.
    pub(super) fn prepare(&mut self, contacts: &Contacts, part: &Part, position: Position) {
        let manifold = &contacts[self.contact].manifold;
        let at = position.placement(part.local_center);
        let (m, i) = (self.inverse_mass, self.inverse_inertia);
        for (point, touch) in self.points.iter_mut().zip(manifold.points()) {
            let world = manifold.in_world(touch, &at);
            self.normal = world.normal;
            point.arm = world.middle() - position.center;
            let across = point.arm.cross(self.normal);
            let along = point.arm.cross(self.normal.right());
            point.normal_mass = super::math::inverse(m + i * across * across);
            point.tangent_mass = super::math::inverse(m + i * along * along);
        }
        if self.count == 2 {
            let [a, b] = self.points.map(|point| point.arm.cross(self.normal));
            self.response = Symmetric {
                xx: m + i * a * a,
                xy: m + i * a * b,
                yy: m + i * b * b,
            };
            let Symmetric { xx, xy, yy } = self.response;
            if xx * xx < MAX_CONDITION * (xx * yy - xy * xy) {
                self.resistance = self.response.inverse();
            } else {
                self.count = 1;
            }
        }
    }

    /// Forgets the impulses.
    pub(super) fn cold(&mut self) {
        for point in &mut self.points {
            (point.push, point.drag) = (0.0, 0.0);
        }
    }

    /// Applies the impulses of the last step.
    pub(super) fn warm_start(&self, velocity: &mut Velocity) {
        let (normal, tangent) = (self.normal, self.normal.right());
        for point in &self.points[..self.count] {
            let impulse = normal * point.push + tangent * point.drag;
            self.push(velocity, point, impulse);
        }
    }

    #[inline]
    fn push(&self, velocity: &mut Velocity, point: &Point, impulse: Vec2) {
        velocity.angular += self.inverse_inertia * point.arm.cross(impulse);
        velocity.linear += impulse * self.inverse_mass;
    }

    /// One iteration on the velocities: friction first, because not to sink in matters more.
    pub(super) fn solve_velocities(&mut self, velocity: &mut Velocity) {
        let tangent = self.normal.right();
        for i in 0..self.count {
            let point = self.points[i];
            let slip = velocity.at(point.arm).dot(tangent);
            let most = self.friction * point.push;
            let drag = clamp(point.drag + point.tangent_mass * -slip, -most, most);
            self.points[i].drag = drag;
            self.push(velocity, &point, tangent * (drag - point.drag));
        }
        if self.count == 2 {
            self.solve_both(velocity);
        } else {
            let point = self.points[0];
            let approach = velocity.at(point.arm).dot(self.normal);
            let push = most(point.push + -point.normal_mass * approach, 0.0);
            self.points[0].push = push;
            self.push(velocity, &point, self.normal * (push - point.push));
        }
    }

    /// Two points at once: of the four ways in which each either pushes or parts, the first that is possible
    /// (Catto and Gregorius, total enumeration of a linear complementarity problem).
    fn solve_both(&mut self, velocity: &mut Velocity) {
        let [first, second] = self.points;
        let before = vec2(first.push, second.push);
        let approach = vec2(
            velocity.at(first.arm).dot(self.normal),
            velocity.at(second.arm).dot(self.normal),
        );
        let free = approach - self.response.apply(before);
        let both = -self.resistance.apply(free);
        let one = -first.normal_mass * free.x;
        let other = -second.normal_mass * free.y;
        let push = if both.x >= 0.0 && both.y >= 0.0 {
            both
        } else if one >= 0.0 && self.response.xy * one + free.y >= 0.0 {
            vec2(one, 0.0)
        } else if other >= 0.0 && self.response.xy * other + free.x >= 0.0 {
            vec2(0.0, other)
        } else if free.x >= 0.0 && free.y >= 0.0 {
            vec2(0.0, 0.0)
        } else {
            return;
        };
        let change = push - before;
        let [a, b] = [self.normal * change.x, self.normal * change.y];
        velocity.linear += (a + b) * self.inverse_mass;
        velocity.angular += self.inverse_inertia * (first.arm.cross(a) + second.arm.cross(b));
        (self.points[0].push, self.points[1].push) = (push.x, push.y);
    }

    /// Keeps the impulses for the next step.
    pub(super) fn store(&self, contacts: &mut Contacts) {
        let touches = contacts[self.contact].manifold.points_mut();
        for (touch, point) in touches.iter_mut().zip(&self.points[..self.count]) {
            (touch.push, touch.drag) = (point.push, point.drag);
        }
    }

    /// One iteration on the position, correcting the share `stiffness` of what is left; gives the lowest
    /// separation that it met, m.
    pub(super) fn solve_position(
        &self,
        contacts: &Contacts,
        part: &Part,
        position: &mut Position,
        stiffness: f32,
    ) -> f32 {
        let manifold = &contacts[self.contact].manifold;
        let (m, i) = (self.inverse_mass, self.inverse_inertia);
        let mut lowest = 0.0;
        for touch in manifold.points() {
            let world = manifold.in_world(touch, &position.placement(part.local_center));
            let separation = world.separation();
            lowest = least(lowest, separation);
            let correction = clamp(stiffness * (separation + LINEAR_SLOP), -MAX_CORRECTION, 0.0);
            let arm = world.point - position.center;
            let across = arm.cross(world.normal);
            let impulse = world.normal * (-correction / (m + i * across * across));
            position.center += impulse * m;
            position.angle += i * arm.cross(impulse);
        }
        lowest
    }
}
