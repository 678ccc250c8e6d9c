use serde::{Deserialize, Serialize};
use thorndike_core::Step;

use super::minatar::in_range;
use super::{Button, Buttons, Channel, Draws, Game, Planes};
use crate::canvas::colors;

/// `minatar-asterix`: collect gold and keep away from enemies.
///
/// ```text
/// ..........
/// .......x-.
/// ..........
/// -$........
/// ..........
/// .....P....
/// ..........
/// ......-x..
/// ..........
/// ..........
/// ```
///
/// Gold and enemies come in from the left or the right in the rows 1 to 8, one thing a row at most, and leave at the
/// other side. All of them move one column every 5 steps, and one more comes every 10 steps if a row is free. With
/// `ramping`, the 10 steps become one less every 102 steps, and the 5 one less every second time, down to 1.
///
/// **Action space**: `discrete(5)`; six as [`MinAtar`](super::MinAtar) says. The player stays in the rows 1 to 8.
///
/// | action | meaning |
/// |---|---|
/// | 0 | no-op |
/// | 1 | one column to the left |
/// | 2 | one row up |
/// | 3 | one column to the right |
/// | 4 | one row down |
///
/// **Observation space**: box of `4 x 10 x 10` `u8`, the planes of [`MinAtar`](super::MinAtar).
///
/// | index | meaning | unit | range | letter, colour |
/// |---|---|---|---|---|
/// | 0 | player | – | 0 or 1 | `P` white |
/// | 1 | enemies | – | 0 or 1 | `x` red |
/// | 2 | the cell behind each enemy and each gold | – | 0 or 1 | `-` grey |
/// | 3 | gold | – | 0 or 1 | `$` yellow |
///
/// **Reward**: 1 for each gold that the player meets, before or after the things move.
///
/// **Start**: the player in column 5 of row 5 and nothing else. A thing is gold with probability 1/3 and comes
/// from the left with probability 1/2, in a row drawn from those that are free.
///
/// **End**: terminated when the player meets an enemy. No time limit.
///
/// **Config**: [`MinAtarConfig`](super::MinAtarConfig).
///
/// # Reference
/// Young and Tian, *MinAtar*, 2019; MinAtar 1.0.15. Deviations: those of [`MinAtar`](super::MinAtar).
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
    const REFERENCE: &'static str = "MinAtar Asterix";
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
        Step::terminal_if(caught, reward)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arcade::minatar::tests::{Always, press};

    const GAME: Asterix = Asterix { ramping: true };

    /// Beside the player, coming nearer.
    fn beside(gold: bool) -> AsterixState {
        let mut state = GAME.reset(&mut Always(0.0, 0));
        let right = false;
        state.things[4] = Some(Thing { x: 6, right, gold });
        state
    }

    #[test]
    fn gold_is_taken_and_an_enemy_is_fatal_before_and_after_they_move() {
        for (button, move_timer) in [(Button::Right, 3), (Button::NoOp, 0)] {
            for (gold, step) in [(true, Step::running(1.0)), (false, Step::terminal(0.0))] {
                let mut state = beside(gold);
                state.move_timer = move_timer;
                assert_eq!(press(&GAME, &mut state, &[button]), [step]);
                assert_eq!(state.things[4].is_none(), gold, "gold is gone");
            }
        }
    }

    #[test]
    fn a_thing_comes_in_the_free_row_that_was_drawn() {
        let mut state = beside(true);
        state.spawn_timer = 0;
        GAME.step(&mut state, Button::NoOp, &mut Always(0.4, 4));
        let (x, right, gold) = (0, true, false);
        assert_eq!(
            state.things[5],
            Some(Thing { x, right, gold }),
            "row 5 is taken"
        );
    }

    #[test]
    fn nothing_is_drawn_for_a_row_if_all_are_taken() {
        let mut state = GAME.reset(&mut Always(0.0, 0));
        let (right, gold) = (true, true);
        state.things = [Some(Thing { x: 1, right, gold }); 8];
        let full = state.things;
        // The 9 would be refused.
        state.spawn(&mut Always(0.0, 9));
        assert_eq!(state.things, full);
    }

    #[test]
    fn it_gets_harder_every_102_steps() {
        let mut state = GAME.reset(&mut Always(0.0, 0));
        let mut seen = vec![(0, 10, 5)];
        for step in 1..=2000 {
            state.things = [None; 8];
            press(&GAME, &mut state, &[Button::NoOp]);
            let intervals = (state.spawn_interval, state.move_interval);
            if seen
                .last()
                .is_some_and(|last| (last.1, last.2) != intervals)
            {
                seen.push((step, intervals.0, intervals.1));
            }
        }
        assert_eq!(
            seen[..4],
            [(0, 10, 5), (102, 9, 5), (204, 8, 4), (306, 7, 4)]
        );
        assert_eq!(seen.last(), Some(&(918, 1, 1)));
        let mut flat = Asterix { ramping: false }.reset(&mut Always(0.0, 0));
        for _ in 0..500 {
            flat.things = [None; 8];
            press(&Asterix { ramping: false }, &mut flat, &[Button::NoOp]);
        }
        assert_eq!((flat.spawn_interval, flat.move_interval), (10, 5));
    }
}
