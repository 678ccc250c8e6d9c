use serde::{Deserialize, Serialize};
use thorndike_core::Step;

use super::minatar::in_range;
use super::{Button, Buttons, Channel, Draws, Game, List, Planes};
use crate::canvas::colors;

/// `minatar-seaquest`: rescue divers, shoot what is in the way and come up for air in time.
///
/// ```text
/// ..........
/// ........x-
/// ..........
/// .-d..,....
/// ......Ss'.
/// ..........
/// ........-f
/// ..........
/// ..........
/// ooooo..dd.
/// ```
///
/// Fish, submarines and divers cross the sea in the rows 1 to 8. An enemy comes every 20 steps and moves every 6, a
/// diver comes every 30 steps and moves every 6. No enemy comes where another one comes the other way. Submarines
/// shoot every 11 steps; bullets move one column a step. The submarine holds six divers and air for 200 steps
/// under water.
///
/// Coming up fills the tank and takes one diver off. Six divers go ashore together and pay, and then one more is
/// taken off: -1 is on board, and one less each time that the submarine comes up again. That is not seen, and not fatal
/// as 0 is. With `ramping`, each time that the submarine comes up, the 20 steps between enemies become one less, down
/// to 1, and every second time the 6 steps between their moves, down to 3.
///
/// **Action space**: `discrete(6)`. The submarine shoots the way that it last moved, at most every fifth step.
///
/// | action | meaning |
/// |---|---|
/// | 0 | no-op |
/// | 1 | one column to the left |
/// | 2 | one row up |
/// | 3 | one column to the right |
/// | 4 | one row down |
/// | 5 | shoot |
///
/// **Observation space**: box of `10 x 10 x 10` `u8`, the planes of [`MinAtar`](super::MinAtar).
///
/// | index | meaning | unit | range | letter, colour |
/// |---|---|---|---|---|
/// | 0 | front of the submarine, which is what can be hit | – | 0 or 1 | `S` white |
/// | 1 | back of the submarine | – | 0 or 1 | `s` light grey |
/// | 2 | own bullets | – | 0 or 1 | `'` yellow |
/// | 3 | the cell behind each fish, submarine and diver | – | 0 or 1 | `-` grey |
/// | 4 | enemy bullets | – | 0 or 1 | `,` purple |
/// | 5 | fish | – | 0 or 1 | `f` orange |
/// | 6 | enemy submarines | – | 0 or 1 | `x` red |
/// | 7 | gauge of air, from the left of the bottom row, 20 steps a cell | – | 0 or 1 | `o` sky blue |
/// | 8 | gauge of divers on board, leftwards from column 8 of the bottom row | – | 0 or 1 | `d` green |
/// | 9 | divers in the water | – | 0 or 1 | `d` green |
///
/// **Reward**: 1 for each enemy that is hit; for coming up with six divers, 1 for every 20 steps of air left.
///
/// **Start**: the submarine at the surface in column 5 and nothing else; staying there uses no air. An enemy is a
/// submarine with probability 1/3; side and row are drawn uniformly, as for divers.
///
/// **End**: terminated when an enemy or its bullet meets the submarine, when the air is used up, or when the
/// submarine comes up with no diver on board. No time limit.
///
/// **Config**: [`MinAtarConfig`](super::MinAtarConfig).
///
/// # Reference
/// Young and Tian, *MinAtar*, 2019; MinAtar 1.0.15. Deviations: those of [`MinAtar`](super::MinAtar).
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
    const REFERENCE: &'static str = "MinAtar Seaquest";
    const BUTTONS: Buttons = Buttons::FULL;
    const CHANNELS: &'static [Channel] = &[
        Channel::new("submarine, front", 'S', colors::WHITE),
        Channel::new("submarine, back", 's', colors::LIGHT_GREY),
        Channel::new("own bullet", '\'', colors::YELLOW),
        Channel::new("trail", '-', colors::GREY),
        Channel::new("enemy bullet", ',', colors::PURPLE),
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
        Step::terminal_if(over, reward)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arcade::minatar::tests::{Always, press};
    use thorndike_core::Seeds;

    const GAME: Seaquest = Seaquest { ramping: true };

    /// In row 1 with `aboard` divers, about to come up.
    fn low(aboard: i16) -> SeaquestState {
        SeaquestState {
            y: 1,
            surfaced: false,
            oxygen: 101,
            divers_aboard: aboard,
            ..GAME.reset(&mut Always(0.0, 0))
        }
    }

    fn swimmer(x: i8, y: i8, right: bool) -> Swimmer {
        Swimmer {
            x,
            y,
            right,
            move_timer: 0,
            shot_timer: 5,
        }
    }

    #[test]
    fn six_divers_pay_by_the_air_left_and_leave_a_debt() {
        let mut state = low(6);
        assert_eq!(
            press(&GAME, &mut state, &[Button::Up]),
            [Step::running(5.0)]
        );
        assert_eq!((state.divers_aboard, state.oxygen), (-1, 200));
    }

    #[test]
    fn coming_up_takes_one_diver_off_and_is_fatal_only_at_zero() {
        for (aboard, left) in [(3, 2), (1, 0), (-1, -2)] {
            let mut state = low(aboard);
            assert_eq!(
                press(&GAME, &mut state, &[Button::Up]),
                [Step::running(0.0)]
            );
            assert_eq!(state.divers_aboard, left);
        }
        assert_eq!(
            press(&GAME, &mut low(0), &[Button::Up]),
            [Step::terminal(0.0)]
        );
    }

    #[test]
    fn the_surface_uses_no_air_and_is_safe_at_the_start() {
        let mut state = GAME.reset(&mut Always(0.0, 0));
        let steps = press(&GAME, &mut state, &[Button::Left; 300]);
        assert!(steps.iter().all(|&step| step == Step::running(0.0)));
        assert_eq!(state.oxygen, 200);
    }

    #[test]
    fn air_lasts_200_steps_and_coming_up_without_any_is_too_late() {
        let mut state = low(1);
        state.oxygen = 1;
        let steps = press(&GAME, &mut state, &[Button::NoOp, Button::Up]);
        assert_eq!(steps, [Step::running(0.0), Step::terminal(0.0)]);
        let mut state = GAME.reset(&mut Always(0.0, 0));
        (state.y, state.diver_timer) = (8, 30);
        // All enemies keep to row 1.
        let steps = press(&GAME, &mut state, &[Button::NoOp; 201]);
        let end = steps.iter().position(|step| step.status.is_over());
        assert_eq!(end, Some(200));
    }

    #[test]
    fn a_seventh_diver_stays_in_the_water() {
        for (aboard, left) in [(6, 1), (5, 0)] {
            let mut state = low(aboard);
            state.divers.push(swimmer(5, 1, true));
            press(&GAME, &mut state, &[Button::NoOp]);
            assert_eq!((state.divers_aboard, state.divers.len()), (6, left));
        }
    }

    #[test]
    fn no_enemy_comes_where_one_comes_the_other_way() {
        for (right, fish) in [(true, 2), (false, 1)] {
            let mut state = low(1);
            state.enemy_timer = 0;
            state.fish.push(swimmer(4, 7, right));
            // A fish from the left in row 7.
            GAME.step(&mut state, Button::NoOp, &mut Always(0.4, 7));
            assert_eq!(state.fish.len(), fish);
        }
    }

    #[test]
    fn a_submarine_that_is_shot_as_it_moves_still_shoots() {
        let mut state = low(1);
        // The bullet gets to column 4 first, then the submarine does.
        state.bullets.push(swimmer(3, 7, true));
        state.submarines.push(Swimmer {
            shot_timer: 0,
            ..swimmer(5, 7, false)
        });
        assert_eq!(
            press(&GAME, &mut state, &[Button::NoOp]),
            [Step::running(1.0)]
        );
        assert_eq!((state.submarines.len(), state.bullets.len()), (0, 0));
        assert_eq!(
            state.enemy_bullets[0].x, 3,
            "it was shot from column 4 and has moved"
        );
    }

    #[test]
    fn enemies_and_their_bullets_are_fatal() {
        let lists: [fn(&mut SeaquestState); 3] = [
            |state| state.fish.push(swimmer(6, 1, false)),
            |state| state.submarines.push(swimmer(6, 1, false)),
            |state| state.enemy_bullets.push(swimmer(6, 1, false)),
        ];
        for push in lists {
            let mut state = low(1);
            push(&mut state);
            assert_eq!(
                press(&GAME, &mut state, &[Button::NoOp]),
                [Step::terminal(0.0)]
            );
        }
    }

    /// The lists hold all that an episode can bring, so that nothing is left out.
    #[test]
    fn the_lists_are_long_enough_at_the_hardest() {
        let mut state = GAME.reset(&mut Always(0.0, 0));
        (state.enemy_interval, state.move_delay, state.enemy_timer) = (1, 2, 0);
        let rng = &mut Seeds::new(0).stream("test", 0);
        let mut longest = [0; 3];
        for step in 0..50_000 {
            let button = if step % 2 == 0 {
                Button::Fire
            } else {
                Button::NoOp
            };
            GAME.step(&mut state, button, rng);
            let SeaquestState {
                fish,
                submarines,
                enemy_bullets,
                ..
            } = &state;
            assert!(fish.len() + submarines.len() <= 31);
            let lengths = [fish.len(), submarines.len(), enemy_bullets.len()];
            longest = std::array::from_fn(|i| longest[i].max(lengths[i]));
            assert!(state.bullets.len() < 4 && state.divers.len() < 4 && enemy_bullets.len() < 40);
        }
        assert!(
            longest.iter().all(|&length| length > 4),
            "{longest:?} were tried"
        );
    }
}
