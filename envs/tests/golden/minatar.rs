//! Episodes of MinAtar, with every random draw and inner variable.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thorndike_core::Env;
use thorndike_envs::arcade::{
    ActionSet, Asterix, AsterixState, Board, Breakout, BreakoutState, Car, Draws, Freeway,
    FreewayState, Game, List, MinAtar, MinAtarConfig, MinAtarState, Seaquest, SeaquestState,
    SpaceInvaders, SpaceInvadersState, Swimmer, Thing,
};

use crate::records::{Trajectory, arguments, for_each_record, replay, status};

/// Method, arguments, value.
type Draw = (String, Vec<i8>, Value);

#[derive(Deserialize)]
struct Record {
    id: String,
    channels: usize,
    ramping: bool,
    sticky: f64,
    crafted: bool,
    reset_draws: Vec<Draw>,
    state0: Value,
    obs0: String,
    actions: Vec<usize>,
    rewards: Vec<f64>,
    terminal: Vec<u8>,
    ramp: Option<Vec<i8>>,
    /// Step, its draws.
    draws: Vec<(usize, Vec<Draw>)>,
    obs: Vec<String>,
    /// Steps done, inner variables.
    snapshots: Vec<(usize, Value)>,
}

/// The draws of one step, one by one.
struct Tape(VecDeque<Drawn>);

#[derive(Debug)]
enum Drawn {
    Uniform(f64),
    /// Low, high, value.
    Integer(i8, i8, i8),
}

impl Tape {
    fn new(draws: &[Draw]) -> Self {
        let each = draws.iter().flat_map(|(method, arguments, value)| {
            let values = match value {
                Value::Array(values) => values.clone(),
                one => vec![one.clone()],
            };
            values
                .into_iter()
                .map(move |value| match (method.as_str(), &arguments[..]) {
                    ("rand", _) => Drawn::Uniform(value.as_f64().unwrap()),
                    ("randint", &[low, high, ..]) => {
                        Drawn::Integer(low, high, value.as_i64().unwrap() as i8)
                    }
                    other => panic!("draw {other:?}"),
                })
        });
        Self(each.collect())
    }
}

impl Draws for Tape {
    fn uniform(&mut self) -> f64 {
        match self.0.pop_front() {
            Some(Drawn::Uniform(value)) => value,
            other => panic!("a uniform draw is asked for, the record has {other:?}"),
        }
    }
    fn integer(&mut self, low: i8, high: i8) -> i8 {
        match self.0.pop_front() {
            Some(Drawn::Integer(l, h, value)) if (l, h) == (low, high) => value,
            other => panic!("an integer in {low}..{high} is asked for, the record has {other:?}"),
        }
    }
}

/// Planes of a packed observation.
fn planes(packed: &str, channels: usize) -> Vec<f64> {
    let bytes = from_base64(packed);
    let bit = |i: usize| bytes[i / 8] >> (7 - i % 8) & 1;
    let order = (0..channels).flat_map(|c| (0..100).map(move |cell| cell * channels + c));
    order.map(|i| f64::from(bit(i))).collect()
}

fn from_base64(text: &str) -> Vec<u8> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|&c| c != b'=').map(digit).collect();
    let group = |four: &[u8]| {
        let bits = four.iter().enumerate();
        let word = bits.fold(0_u32, |word, (i, &d)| word | u32::from(d) << (26 - 6 * i));
        word.to_be_bytes()[..four.len() - 1].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}

/// A game whose inner variables are recorded.
trait Recorded: Game {
    /// The state that MinAtar's variables give.
    fn read(inner: &Value) -> Self::State;
    /// How often it has got harder.
    fn ramp(_: &Self::State) -> Option<i8> {
        None
    }
}

fn check<G: Recorded>(record: &Record) -> usize
where
    G::State: DeserializeOwned,
{
    let id = &record.id;
    let env = MinAtar::<G>::new(&MinAtarConfig {
        sticky_probability: record.sticky,
        ramping: record.ramping,
        actions: ActionSet::Full,
    })
    .unwrap();
    if !record.crafted {
        let mut tape = Tape::new(&record.reset_draws);
        let start = env.start_with(&mut tape);
        assert_eq!(start.game, G::read(&record.state0), "{id}: start");
        assert!(tape.0.is_empty(), "{id}: draws left over at the start");
    }
    let start = MinAtarState {
        game: G::read(&record.state0),
        button: Default::default(),
        over: false,
    };
    let tapes = record.draws.iter().map(|(t, draws)| (*t, Tape::new(draws)));
    let tapes: Mutex<HashMap<usize, Tape>> = Mutex::new(tapes.collect());
    let snapshots: HashMap<usize, &Value> = record.snapshots.iter().map(|(t, s)| (*t, s)).collect();
    let trajectory = Trajectory {
        id,
        obs0: planes(&record.obs0, record.channels),
        actions: &record.actions,
        obs: record
            .obs
            .iter()
            .map(|obs| planes(obs, record.channels))
            .collect(),
        rewards: &record.rewards,
        status: status(&record.terminal, &vec![0; record.terminal.len()]),
        time_limit: None,
    };
    replay(
        &env,
        &trajectory,
        start,
        |state, action, t| {
            let tape = tapes.lock().unwrap().remove(&t);
            let mut tape = tape.unwrap_or_else(|| Tape::new(&[]));
            let step = env.step_with(state, action, &mut tape);
            assert!(tape.0.is_empty(), "{id}: draws left over at step {t}");
            step
        },
        Env::observe,
        |t, state| {
            if let Some(inner) = snapshots.get(&(t + 1)) {
                assert_eq!(state.game, G::read(inner), "{id}: state after {}", t + 1);
                assert_eq!(state.over, inner["terminal"], "{id}: end after {}", t + 1);
            }
            if let Some(ramp) = &record.ramp {
                assert_eq!(G::ramp(&state.game), Some(ramp[t]), "{id}: ramp {t}");
            }
        },
    )
}

fn check_all<G: Recorded>(game: &str) {
    for_each_record("minatar", game, |record: Record| check::<G>(&record));
}

fn read<T: DeserializeOwned>(inner: &Value, name: &str) -> T {
    arguments(name, &inner[name])
}

/// A 10 x 10 array of 0 and 1, row by row.
fn board(inner: &Value, name: &str) -> Board {
    let rows: Vec<Vec<f64>> = read(inner, name);
    let cells = rows.concat();
    assert_eq!(cells.len(), 100);
    let bits = cells.iter().enumerate();
    Board::from(bits.fold(0, |bits, (i, &set)| bits | (u128::from(set == 1.0) << i)))
}

impl Recorded for Breakout {
    fn read(inner: &Value) -> BreakoutState {
        // Clockwise from the upper left.
        let direction: usize = read(inner, "ball_dir");
        let (right, down) = [(false, false), (true, false), (true, true), (false, true)][direction];
        BreakoutState {
            ball_x: read(inner, "ball_x"),
            ball_y: read(inner, "ball_y"),
            right,
            down,
            last_x: read(inner, "last_x"),
            last_y: read(inner, "last_y"),
            paddle: read(inner, "pos"),
            strike: read(inner, "strike"),
            bricks: board(inner, "brick_map"),
        }
    }
}

impl Recorded for Asterix {
    fn read(inner: &Value) -> AsterixState {
        let slots: [Option<(i8, i8, bool, bool)>; 8] = read(inner, "entities");
        let mut row = 0;
        AsterixState {
            player_x: read(inner, "player_x"),
            player_y: read(inner, "player_y"),
            things: slots.map(|slot| {
                row += 1;
                slot.map(|(x, y, right, gold)| {
                    assert_eq!(y, row);
                    Thing { x, right, gold }
                })
            }),
            spawn_timer: read(inner, "spawn_timer"),
            spawn_interval: read(inner, "spawn_speed"),
            move_timer: read(inner, "move_timer"),
            move_interval: read(inner, "move_speed"),
            ramp_timer: read(inner, "ramp_timer"),
            ramp: read(inner, "ramp_index"),
        }
    }
    fn ramp(state: &AsterixState) -> Option<i8> {
        Some(state.ramp)
    }
}

impl Recorded for Freeway {
    fn read(inner: &Value) -> FreewayState {
        let cars: [(i8, i8, i8, i8); 8] = read(inner, "cars");
        FreewayState {
            chicken: read(inner, "pos"),
            move_timer: read(inner, "move_timer"),
            cars: cars.map(|(x, _, timer, speed)| Car {
                x,
                timer,
                delay: speed.abs(),
                right: speed > 0,
            }),
            clock: read(inner, "terminate_timer"),
        }
    }
}

/// Lists of column, row, direction, and up to two timers.
fn swimmers<const N: usize>(inner: &Value, name: &str) -> List<Swimmer, N> {
    let all: Vec<Vec<Value>> = read(inner, name);
    assert!(all.len() <= N, "{name}: {} of at most {N}", all.len());
    let number = |value: Option<&Value>| value.map_or(0, |v| v.as_i64().unwrap() as i8);
    let each = all.iter().map(|one| Swimmer {
        x: number(one.first()),
        y: number(one.get(1)),
        right: one[2].as_bool().unwrap(),
        move_timer: number(one.get(3)),
        shot_timer: number(one.get(4)),
    });
    each.collect()
}

impl Recorded for Seaquest {
    fn read(inner: &Value) -> SeaquestState {
        SeaquestState {
            x: read(inner, "sub_x"),
            y: read(inner, "sub_y"),
            right: read(inner, "sub_or"),
            surfaced: read(inner, "surface"),
            oxygen: read(inner, "oxygen"),
            divers_aboard: read(inner, "diver_count"),
            shot_timer: read(inner, "shot_timer"),
            enemy_timer: read(inner, "e_spawn_timer"),
            enemy_interval: read(inner, "e_spawn_speed"),
            diver_timer: read(inner, "d_spawn_timer"),
            move_delay: read(inner, "move_speed"),
            ramp: read(inner, "ramp_index"),
            bullets: swimmers(inner, "f_bullets"),
            divers: swimmers(inner, "divers"),
            submarines: swimmers(inner, "e_subs"),
            enemy_bullets: swimmers(inner, "e_bullets"),
            fish: swimmers(inner, "e_fish"),
        }
    }
    fn ramp(state: &SeaquestState) -> Option<i8> {
        Some(state.ramp)
    }
}

impl Recorded for SpaceInvaders {
    fn read(inner: &Value) -> SpaceInvadersState {
        let direction: i8 = read(inner, "alien_dir");
        SpaceInvadersState {
            cannon: read(inner, "pos"),
            aliens: board(inner, "alien_map"),
            right: direction == 1,
            bullets: board(inner, "f_bullet_map"),
            alien_bullets: board(inner, "e_bullet_map"),
            shot_timer: read(inner, "shot_timer"),
            alien_shot_timer: read(inner, "alien_shot_timer"),
            move_timer: read(inner, "alien_move_timer"),
            move_interval: read(inner, "enemy_move_interval"),
            ramp: read(inner, "ramp_index"),
        }
    }
    fn ramp(state: &SpaceInvadersState) -> Option<i8> {
        Some(state.ramp)
    }
}

#[test]
fn breakout_replays() {
    check_all::<Breakout>("breakout");
}
#[test]
fn asterix_replays() {
    check_all::<Asterix>("asterix");
}
#[test]
fn freeway_replays() {
    check_all::<Freeway>("freeway");
}
#[test]
fn seaquest_replays() {
    check_all::<Seaquest>("seaquest");
}
#[test]
fn space_invaders_replays() {
    check_all::<SpaceInvaders>("space_invaders");
}
