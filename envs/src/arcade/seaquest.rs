use serde::{Deserialize, Serialize};
use thorndike_core::Step;

use super::minatar::in_range;
use super::{Button, Buttons, Channel, Draws, Game, List, Planes};
use crate::canvas::colors;

/// `minatar-seaquest`
#[derive(Clone, Debug)]
pub struct Seaquest {
    ramping: bool,
}

/// State of [`Seaquest`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeaquestState {
    /// Column of the submarine's front.
    #[serde(deserialize_with = "in_range::<_, _, 0, 9>")]
    pub x: i8,
    /// Row of the submarine; 0 is the surface.
    #[serde(deserialize_with = "in_range::<_, _, 0, 8>")]
    pub y: i8,
    /// Whether the submarine looks to the right.
    pub right: bool,
    /// Whether the submarine has not dived since it last surfaced.
    pub surfaced: bool,
    /// Steps that the air lasts; -1 if it is used up.
    #[serde(deserialize_with = "in_range::<_, _, -1, 200>")]
    pub oxygen: i16,
    /// Divers on board; below 0 they are owed to the surface.
    #[serde(deserialize_with = "in_range::<_, _, -32768, 6>")]
    pub divers_aboard: i16,
    /// Steps until the submarine can shoot.
    #[serde(deserialize_with = "in_range::<_, _, 0, 5>")]
    pub shot_timer: i8,
    /// Steps until the next enemy comes.
    #[serde(deserialize_with = "in_range::<_, _, 0, 20>")]
    pub enemy_timer: i8,
    /// Steps between enemies.
    #[serde(deserialize_with = "in_range::<_, _, 1, 20>")]
    pub enemy_interval: i8,
    /// Steps until the next diver comes.
    #[serde(deserialize_with = "in_range::<_, _, 0, 30>")]
    pub diver_timer: i8,
    /// Steps from one move of an enemy to the next, less one.
    #[serde(deserialize_with = "in_range::<_, _, 2, 5>")]
    pub move_delay: i8,
    /// How often the game has got harder.
    #[serde(deserialize_with = "in_range::<_, _, 0, 100>")]
    pub ramp: i8,
    /// Bullets of the player, oldest first, as all lists here.
    pub bullets: List<Swimmer, 4>,
    /// Divers in the water.
    pub divers: List<Swimmer, 4>,
    /// Enemy submarines.
    pub submarines: List<Swimmer, 32>,
    /// Bullets of enemy submarines.
    pub enemy_bullets: List<Swimmer, 40>,
    /// Fish.
    pub fish: List<Swimmer, 32>,
}

/// Something that crosses the sea in its row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swimmer {
    /// Its column.
    #[serde(deserialize_with = "in_range::<_, _, 0, 9>")]
    pub x: i8,
    /// Its row.
    #[serde(deserialize_with = "in_range::<_, _, 0, 8>")]
    pub y: i8,
    /// Whether it goes to the right.
    pub right: bool,
    /// Steps until it moves; 0 for bullets.
    #[serde(deserialize_with = "in_range::<_, _, 0, 5>")]
    pub move_timer: i8,
    /// Steps until it shoots; 0 for all but enemy submarines.
    #[serde(deserialize_with = "in_range::<_, _, 0, 10>")]
    pub shot_timer: i8,
}

const FULL_TANK: i16 = 200;
const SEATS: i16 = 6;
const LOWEST: i8 = 8;
const SHOT_DELAY: i8 = 5;
const ENEMY_SHOT_DELAY: i8 = 10;
const DIVER_INTERVAL: i8 = 30;
const DIVER_DELAY: i8 = 5;
const SHORTEST_DELAY: i8 = 2;
/// Row of the gauges.
const GAUGES: i8 = 9;

impl Swimmer {
    /// At the edge where those that go `right` come in.
    fn entering(right: bool, y: i8, move_timer: i8) -> Self {
        Self {
            x: if right { 0 } else { 9 },
            y,
            right,
            move_timer,
            shot_timer: 0,
        }
    }

    /// One column on; whether it is still in the grid.
    fn swim(&mut self) -> bool {
        self.x += if self.right { 1 } else { -1 };
        (0..10).contains(&self.x)
    }

    fn at(&self, x: i8, y: i8) -> bool {
        (self.x, self.y) == (x, y)
    }
}

/// What happened to an enemy.
#[derive(PartialEq)]
enum Fate {
    Lives,
    Leaves,
    Shot,
}

impl SeaquestState {
    fn spawn_enemy(&mut self, draws: &mut impl Draws) {
        let right = draws.uniform() < 0.5;
        let submarine = draws.uniform() < 1.0 / 3.0;
        let y = draws.integer(1, 9);
        let mut others = self.submarines.iter().chain(self.fish.iter());
        if others.any(|other| other.y == y && other.right != right) {
            return;
        }
        let mut enemy = Swimmer::entering(right, y, self.move_delay);
        if submarine {
            enemy.shot_timer = ENEMY_SHOT_DELAY;
            self.submarines.push(enemy);
        } else {
            self.fish.push(enemy);
        }
    }

    fn spawn_diver(&mut self, draws: &mut impl Draws) {
        let right = draws.uniform() < 0.5;
        let y = draws.integer(1, 9);
        self.divers.push(Swimmer::entering(right, y, DIVER_DELAY));
    }

    fn steer(&mut self, button: Button) {
        match button {
            Button::Left => (self.x, self.right) = ((self.x - 1).max(0), false),
            Button::Right => (self.x, self.right) = ((self.x + 1).min(9), true),
            Button::Up => self.y = (self.y - 1).max(0),
            Button::Down => self.y = (self.y + 1).min(LOWEST),
            Button::Fire if self.shot_timer == 0 => {
                self.shot_timer = SHOT_DELAY;
                self.bullets.push(Swimmer {
                    x: self.x,
                    y: self.y,
                    right: self.right,
                    ..Swimmer::default()
                });
            }
            _ => {}
        }
    }

    /// Own bullets fly one column and hit at most one enemy each. The number of hits.
    fn fly(&mut self) -> u8 {
        let mut hits = 0;
        for i in (0..self.bullets.len()).rev() {
            let bullet = &mut self.bullets[i];
            if !bullet.swim() {
                self.bullets.remove(i);
                continue;
            }
            let Swimmer { x, y, .. } = *bullet;
            if let Some(hit) = self.fish.iter().position(|fish| fish.at(x, y)) {
                self.fish.remove(hit);
            } else if let Some(hit) = self.submarines.iter().position(|sub| sub.at(x, y)) {
                self.submarines.remove(hit);
            } else {
                continue;
            }
            self.bullets.remove(i);
            hits += 1;
        }
        hits
    }

    /// Divers come aboard where they meet the submarine, before or after their move, if there is a seat.
    fn swim_divers(&mut self) {
        for i in (0..self.divers.len()).rev() {
            let (x, y, seat) = (self.x, self.y, self.divers_aboard < SEATS);
            let diver = &mut self.divers[i];
            let mut aboard = seat && diver.at(x, y);
            let mut inside = true;
            if !aboard {
                if diver.move_timer == 0 {
                    diver.move_timer = DIVER_DELAY;
                    inside = diver.swim();
                    aboard = inside && seat && diver.at(x, y);
                } else {
                    diver.move_timer -= 1;
                }
            }
            if aboard {
                self.divers_aboard += 1;
            }
            if aboard || !inside {
                self.divers.remove(i);
            }
        }
    }

    /// Moves one enemy; `caught` is set if it meets the submarine before or after.
    fn swim_enemy(
        enemy: &mut Swimmer,
        [x, y]: [i8; 2],
        delay: i8,
        bullets: &mut List<Swimmer, 4>,
        caught: &mut bool,
    ) -> Fate {
        *caught |= enemy.at(x, y);
        if enemy.move_timer > 0 {
            enemy.move_timer -= 1;
            return Fate::Lives;
        }
        enemy.move_timer = delay;
        if !enemy.swim() {
            return Fate::Leaves;
        }
        if enemy.at(x, y) {
            *caught = true;
        } else if let Some(hit) = bullets.iter().position(|b| b.at(enemy.x, enemy.y)) {
            bullets.remove(hit);
            return Fate::Shot;
        }
        Fate::Lives
    }

    fn swim_submarines(&mut self, caught: &mut bool) -> u8 {
        let mut hits = 0;
        for i in (0..self.submarines.len()).rev() {
            let submarine = &mut self.submarines[i];
            let here = [self.x, self.y];
            let fate =
                Self::swim_enemy(submarine, here, self.move_delay, &mut self.bullets, caught);
            // Also one that is gone by now shoots.
            if submarine.shot_timer == 0 {
                submarine.shot_timer = ENEMY_SHOT_DELAY;
                let bullet = Swimmer {
                    move_timer: 0,
                    shot_timer: 0,
                    ..*submarine
                };
                self.enemy_bullets.push(bullet);
            } else {
                submarine.shot_timer -= 1;
            }
            hits += u8::from(fate == Fate::Shot);
            if fate != Fate::Lives {
                self.submarines.remove(i);
            }
        }
        hits
    }

    fn fly_enemy_bullets(&mut self, caught: &mut bool) {
        for i in (0..self.enemy_bullets.len()).rev() {
            let bullet = &mut self.enemy_bullets[i];
            *caught |= bullet.at(self.x, self.y);
            if bullet.swim() {
                *caught |= bullet.at(self.x, self.y);
            } else {
                self.enemy_bullets.remove(i);
            }
        }
    }

    fn swim_fish(&mut self, caught: &mut bool) -> u8 {
        let mut hits = 0;
        for i in (0..self.fish.len()).rev() {
            let here = [self.x, self.y];
            let fate = Self::swim_enemy(
                &mut self.fish[i],
                here,
                self.move_delay,
                &mut self.bullets,
                caught,
            );
            hits += u8::from(fate == Fate::Shot);
            if fate != Fate::Lives {
                self.fish.remove(i);
            }
        }
        hits
    }

    /// The submarine comes up: six divers pay by the air that is left, none on board ends the game.
    fn surface(&mut self, ramping: bool, over: &mut bool) -> i16 {
        if self.divers_aboard == 0 {
            *over = true;
            return 0;
        }
        self.surfaced = true;
        let mut reward = 0;
        if self.divers_aboard == SEATS {
            self.divers_aboard = 0;
            reward = self.oxygen * 10 / FULL_TANK;
        }
        self.oxygen = FULL_TANK;
        self.divers_aboard = self.divers_aboard.saturating_sub(1);
        if ramping {
            self.harden();
        }
        reward
    }

    fn harden(&mut self) {
        if self.enemy_interval == 1 && self.move_delay == SHORTEST_DELAY {
            return;
        }
        if self.move_delay > SHORTEST_DELAY && self.ramp % 2 == 1 {
            self.move_delay -= 1;
        }
        self.enemy_interval = (self.enemy_interval - 1).max(1);
        self.ramp = (self.ramp + 1).min(100);
    }
}

impl Game for Seaquest {
    type State = SeaquestState;
    const BUTTONS: Buttons = Buttons::FULL;
    const CHANNELS: &'static [Channel] = &[
        Channel::new("submarine, front", 'S', colors::WHITE),
        Channel::new("submarine, back", 's', colors::LIGHT_GREY),
        Channel::new("own bullet", '\'', colors::YELLOW),
        Channel::new("trail", '-', colors::GREY),
        Channel::new("enemy bullet", '.', colors::PURPLE),
        Channel::new("fish", 'f', colors::ORANGE),
        Channel::new("enemy submarine", 'x', colors::RED),
        Channel::new("oxygen gauge", 'o', colors::SKY),
        Channel::new("diver gauge", 'd', colors::GREEN),
        Channel::new("diver", 'd', colors::GREEN),
    ];

    fn new(ramping: bool) -> Self {
        Self { ramping }
    }

    fn reset(&self, _: &mut impl Draws) -> SeaquestState {
        SeaquestState {
            x: 5,
            y: 0,
            right: false,
            surfaced: true,
            oxygen: FULL_TANK,
            divers_aboard: 0,
            shot_timer: 0,
            enemy_timer: 20,
            enemy_interval: 20,
            diver_timer: DIVER_INTERVAL,
            move_delay: 5,
            ramp: 0,
            bullets: List::default(),
            divers: List::default(),
            submarines: List::default(),
            enemy_bullets: List::default(),
            fish: List::default(),
        }
    }

    #[inline]
    fn step(&self, state: &mut SeaquestState, button: Button, draws: &mut impl Draws) -> Step {
        if state.enemy_timer == 0 {
            state.spawn_enemy(draws);
            state.enemy_timer = state.enemy_interval;
        }
        if state.diver_timer == 0 {
            state.spawn_diver(draws);
            state.diver_timer = DIVER_INTERVAL;
        }
        state.steer(button);
        let mut over = false;
        let mut hits = state.fly();
        state.swim_divers();
        hits += state.swim_submarines(&mut over);
        state.fly_enemy_bullets(&mut over);
        hits += state.swim_fish(&mut over);
        state.enemy_timer = (state.enemy_timer - 1).max(0);
        state.diver_timer = (state.diver_timer - 1).max(0);
        state.shot_timer = (state.shot_timer - 1).max(0);

        let mut reward = f32::from(hits);
        // Coming up without air is too late.
        over |= state.oxygen <= 0;
        if state.y > 0 {
            state.surfaced = false;
            state.oxygen = (state.oxygen - 1).max(-1);
        } else if !state.surfaced {
            reward += f32::from(state.surface(self.ramping, &mut over));
        }
        if over {
            Step::terminal(reward)
        } else {
            Step::running(reward)
        }
    }

    #[inline]
    fn show(&self, state: &SeaquestState, planes: &mut Planes<'_>) {
        let behind = |x: i8, right: bool| x + if right { -1 } else { 1 };
        planes.mark(0, state.x, state.y);
        planes.mark(1, behind(state.x, state.right), state.y);
        for (channel, swimmers, trail) in [
            (2, &state.bullets[..], false),
            (4, &state.enemy_bullets[..], false),
            (5, &state.fish[..], true),
            (6, &state.submarines[..], true),
            (9, &state.divers[..], true),
        ] {
            for swimmer in swimmers {
                planes.mark(channel, swimmer.x, swimmer.y);
                if trail {
                    planes.mark(3, behind(swimmer.x, swimmer.right), swimmer.y);
                }
            }
        }
        for x in 0..state.oxygen * 10 / FULL_TANK {
            planes.mark(7, x as i8, GAUGES);
        }
        for x in 9 - state.divers_aboard.max(0)..9 {
            planes.mark(8, x as i8, GAUGES);
        }
    }
}
