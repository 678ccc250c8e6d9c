use serde::{Deserialize, Serialize};
use thorndike_core::Step;

use super::minatar::in_range;
use super::{Button, Buttons, Channel, Draws, Game, Planes};
use crate::canvas::colors;

/// `minatar-asterix`
#[derive(Clone, Debug)]
pub struct Asterix {
    ramping: bool,
}

/// State of [`Asterix`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsterixState {
    /// Column of the player.
    #[serde(deserialize_with = "in_range::<_, _, 0, 9>")]
    pub player_x: i8,
    /// Row of the player.
    #[serde(deserialize_with = "in_range::<_, _, 1, 8>")]
    pub player_y: i8,
    /// What is in each of the rows 1 to 8.
    pub things: [Option<Thing>; 8],
    /// Steps until something new comes.
    #[serde(deserialize_with = "in_range::<_, _, 0, 10>")]
    pub spawn_timer: i8,
    /// Steps between new things.
    #[serde(deserialize_with = "in_range::<_, _, 1, 10>")]
    pub spawn_interval: i8,
    /// Steps until things move.
    #[serde(deserialize_with = "in_range::<_, _, 0, 5>")]
    pub move_timer: i8,
    /// Steps between moves.
    #[serde(deserialize_with = "in_range::<_, _, 1, 5>")]
    pub move_interval: i8,
    /// Steps until the game gets harder, less one.
    #[serde(deserialize_with = "in_range::<_, _, -1, 100>")]
    pub ramp_timer: i8,
    /// How often the game has got harder.
    #[serde(deserialize_with = "in_range::<_, _, 0, 100>")]
    pub ramp: i8,
}

/// Something that crosses a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thing {
    /// Its column.
    #[serde(deserialize_with = "in_range::<_, _, 0, 9>")]
    pub x: i8,
    /// Whether it goes to the right.
    pub right: bool,
    /// Whether it is gold, and not an enemy.
    pub gold: bool,
}

impl AsterixState {
    /// Something appears at an edge, if a row is free.
    fn spawn(&mut self, draws: &mut impl Draws) {
        let right = draws.uniform() < 0.5;
        let gold = draws.uniform() < 1.0 / 3.0;
        let free = self.things.iter().filter(|thing| thing.is_none()).count() as i8;
        if free == 0 {
            return;
        }
        let chosen = draws.integer(0, free) as usize;
        let mut free = self.things.iter_mut().filter(|thing| thing.is_none());
        if let Some(slot) = free.nth(chosen) {
            let x = if right { 0 } else { 9 };
            *slot = Some(Thing { x, right, gold });
        }
    }

    /// What the player touches: gold is taken and pays 1; an enemy ends the game.
    fn touch(&mut self) -> (f32, bool) {
        let slot = &mut self.things[(self.player_y - 1) as usize & 7];
        match *slot {
            Some(thing) if thing.x == self.player_x => {
                if thing.gold {
                    *slot = None;
                    (1.0, false)
                } else {
                    (0.0, true)
                }
            }
            _ => (0.0, false),
        }
    }

    /// Everything moves one column; what leaves the grid is gone.
    fn move_things(&mut self) {
        for slot in &mut self.things {
            if let Some(thing) = slot {
                thing.x += if thing.right { 1 } else { -1 };
                if !(0..10).contains(&thing.x) {
                    *slot = None;
                }
            }
        }
    }

    /// The game gets harder now and then.
    fn harden(&mut self) {
        if self.spawn_interval == 1 && self.move_interval == 1 {
            return;
        }
        if self.ramp_timer >= 0 {
            self.ramp_timer -= 1;
            return;
        }
        if self.move_interval > 1 && self.ramp % 2 == 1 {
            self.move_interval -= 1;
        }
        self.spawn_interval = (self.spawn_interval - 1).max(1);
        self.ramp = (self.ramp + 1).min(100);
        self.ramp_timer = 100;
    }
}

impl Game for Asterix {
    type State = AsterixState;
    const BUTTONS: Buttons = Buttons::of(&[
        Button::NoOp,
        Button::Left,
        Button::Up,
        Button::Right,
        Button::Down,
    ]);
    const CHANNELS: &'static [Channel] = &[
        Channel::new("player", 'P', colors::WHITE),
        Channel::new("enemy", 'x', colors::RED),
        Channel::new("trail", '-', colors::GREY),
        Channel::new("gold", '$', colors::YELLOW),
    ];

    fn new(ramping: bool) -> Self {
        Self { ramping }
    }

    fn reset(&self, _: &mut impl Draws) -> AsterixState {
        AsterixState {
            player_x: 5,
            player_y: 5,
            things: [None; 8],
            spawn_timer: 10,
            spawn_interval: 10,
            move_timer: 5,
            move_interval: 5,
            ramp_timer: 100,
            ramp: 0,
        }
    }

    #[inline]
    fn step(&self, state: &mut AsterixState, button: Button, draws: &mut impl Draws) -> Step {
        if state.spawn_timer == 0 {
            state.spawn(draws);
            state.spawn_timer = state.spawn_interval;
        }
        match button {
            Button::Left => state.player_x = (state.player_x - 1).max(0),
            Button::Right => state.player_x = (state.player_x + 1).min(9),
            Button::Up => state.player_y = (state.player_y - 1).max(1),
            Button::Down => state.player_y = (state.player_y + 1).min(8),
            _ => {}
        }
        let (mut reward, mut caught) = state.touch();
        if state.move_timer == 0 {
            state.move_timer = state.move_interval;
            state.move_things();
            let (more, hit) = state.touch();
            (reward, caught) = (reward + more, caught | hit);
        }
        state.spawn_timer -= 1;
        state.move_timer -= 1;
        if self.ramping {
            state.harden();
        }
        if caught {
            Step::terminal(reward)
        } else {
            Step::running(reward)
        }
    }

    #[inline]
    fn show(&self, state: &AsterixState, planes: &mut Planes<'_>) {
        planes.mark(0, state.player_x, state.player_y);
        for (row, thing) in (1..).zip(&state.things) {
            if let Some(thing) = thing {
                planes.mark(if thing.gold { 3 } else { 1 }, thing.x, row);
                planes.mark(2, thing.x + if thing.right { -1 } else { 1 }, row);
            }
        }
    }
}
