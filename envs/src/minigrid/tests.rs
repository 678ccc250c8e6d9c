//! What holds for all levels.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::ops::RangeInclusive;

use rand::RngExt;
use thorndike_core::{Env, Rng, Seeds, Status, check_env};

use super::state::{DIRECTIONS, beside};
use super::*;

fn rng(seed: u64) -> Rng {
    Seeds::new(seed).stream("test", 0)
}

/// A published level, and what the reference has in it.
struct Published {
    id: &'static str,
    env: MiniGrid,
    /// Whether it is accepted with `mission = false`.
    works_without_mission: bool,
    size: [usize; 2],
    max_steps: u32,
    doors: RangeInclusive<usize>,
    /// Keys, balls and boxes.
    things: usize,
    goals: usize,
    missions: usize,
}

macro_rules! published {
    ($($id:literal: $level:ident { $($key:ident: $value:expr),* },
        $size:expr, $max_steps:expr, $doors:expr, $things:expr, $goals:expr, $missions:expr;)*) => {
        vec![$(Published {
            id: $id,
            env: MiniGrid::new(&$level {
                $($key: $value,)*
                full_view: false,
                mission: true,
                ..Default::default()
            }).unwrap(),
            works_without_mission: MiniGrid::new(&$level {
                $($key: $value,)*
                full_view: false,
                mission: false,
                ..Default::default()
            }).is_ok(),
            size: $size,
            max_steps: $max_steps,
            doors: $doors,
            things: $things,
            goals: $goals,
            missions: $missions,
        }),*]
    };
}

/// Levels by their published names. Sizes, step limits and counts were read off `minigrid` 3.2.0, 500 to 2000 seeds
/// each; numbers of missions are those that the grammar allows.
#[rustfmt::skip]
#[allow(clippy::needless_update, reason = "some levels have no options of their own")]
fn published() -> Vec<Published> {
    published! {
        // Columns and rows, steps, doors, things, goals, missions.
        "MiniGrid-Empty-5x5-v0": Empty { size: 5 }, [5, 5], 100, 0..=0, 0, 1, 1;
        "MiniGrid-Empty-Random-5x5-v0": Empty { size: 5, random_start: true }, [5, 5], 100, 0..=0, 0, 1, 1;
        "MiniGrid-Empty-6x6-v0": Empty { size: 6 }, [6, 6], 144, 0..=0, 0, 1, 1;
        "MiniGrid-Empty-Random-6x6-v0": Empty { size: 6, random_start: true }, [6, 6], 144, 0..=0, 0, 1, 1;
        "MiniGrid-Empty-8x8-v0": Empty {}, [8, 8], 256, 0..=0, 0, 1, 1;
        "MiniGrid-Empty-16x16-v0": Empty { size: 16 }, [16, 16], 1024, 0..=0, 0, 1, 1;
        "MiniGrid-FourRooms-v0": FourRooms {}, [19, 19], 100, 0..=0, 0, 1, 1;
        "MiniGrid-DoorKey-5x5-v0": DoorKey { size: 5 }, [5, 5], 250, 1..=1, 1, 1, 1;
        "MiniGrid-DoorKey-6x6-v0": DoorKey { size: 6 }, [6, 6], 360, 1..=1, 1, 1, 1;
        "MiniGrid-DoorKey-8x8-v0": DoorKey {}, [8, 8], 640, 1..=1, 1, 1, 1;
        "MiniGrid-DoorKey-16x16-v0": DoorKey { size: 16 }, [16, 16], 2560, 1..=1, 1, 1, 1;
        "MiniGrid-MultiRoom-N2-S4-v0": MultiRoom { num_rooms: 2, max_room_size: 4 }, [25, 25], 40, 1..=1, 0, 1, 1;
        "MiniGrid-MultiRoom-N4-S5-v0": MultiRoom { max_room_size: 5 }, [25, 25], 120, 5..=5, 0, 1, 1;
        "MiniGrid-MultiRoom-N4-S5-v1": MultiRoom { num_rooms: 4, max_room_size: 5 }, [25, 25], 80, 3..=3, 0, 1, 1;
        "MiniGrid-MultiRoom-N6-v0": MultiRoom {}, [25, 25], 120, 5..=5, 0, 1, 1;
        "MiniGrid-LavaCrossingS9N1-v0": Crossing {}, [9, 9], 324, 0..=0, 0, 1, 1;
        "MiniGrid-LavaCrossingS9N2-v0": Crossing { num_crossings: 2 }, [9, 9], 324, 0..=0, 0, 1, 1;
        "MiniGrid-LavaCrossingS9N3-v0": Crossing { num_crossings: 3 }, [9, 9], 324, 0..=0, 0, 1, 1;
        "MiniGrid-LavaCrossingS11N5-v0": Crossing { size: 11, num_crossings: 5 }, [11, 11], 484, 0..=0, 0, 1, 1;
        "MiniGrid-SimpleCrossingS9N1-v0": Crossing { obstacle: Obstacle::Wall }, [9, 9], 324, 0..=0, 0, 1, 1;
        "MiniGrid-SimpleCrossingS11N5-v0": Crossing { size: 11, num_crossings: 5, obstacle: Obstacle::Wall }, [11, 11], 484, 0..=0, 0, 1, 1;
        "MiniGrid-LavaGapS5-v0": LavaGap { size: 5 }, [5, 5], 100, 0..=0, 0, 1, 1;
        "MiniGrid-LavaGapS6-v0": LavaGap { size: 6 }, [6, 6], 144, 0..=0, 0, 1, 1;
        "MiniGrid-LavaGapS7-v0": LavaGap {}, [7, 7], 196, 0..=0, 0, 1, 1;
        "MiniGrid-DistShift1-v0": DistShift {}, [9, 7], 252, 0..=0, 0, 1, 1;
        "MiniGrid-DistShift2-v0": DistShift { second_strip: 5 }, [9, 7], 252, 0..=0, 0, 1, 1;
        "MiniGrid-Dynamic-Obstacles-5x5-v0": DynamicObstacles { size: 5, num_obstacles: 2 }, [5, 5], 100, 0..=0, 2, 1, 1;
        "MiniGrid-Dynamic-Obstacles-Random-5x5-v0": DynamicObstacles { size: 5, num_obstacles: 2, random_start: true }, [5, 5], 100, 0..=0, 2, 1, 1;
        "MiniGrid-Dynamic-Obstacles-Random-6x6-v0": DynamicObstacles { size: 6, num_obstacles: 3, random_start: true }, [6, 6], 144, 0..=0, 3, 1, 1;
        "MiniGrid-Dynamic-Obstacles-8x8-v0": DynamicObstacles {}, [8, 8], 256, 0..=0, 4, 1, 1;
        "MiniGrid-Dynamic-Obstacles-16x16-v0": DynamicObstacles { size: 16, num_obstacles: 8 }, [16, 16], 1024, 0..=0, 8, 1, 1;
        "MiniGrid-Unlock-v0": Unlock {}, [11, 6], 288, 1..=1, 1, 0, 1;
        "MiniGrid-UnlockPickup-v0": UnlockPickup {}, [11, 6], 288, 1..=1, 2, 0, 6;
        "MiniGrid-BlockedUnlockPickup-v0": BlockedUnlockPickup {}, [11, 6], 576, 1..=1, 3, 0, 6;
        "MiniGrid-KeyCorridorS3R1-v0": KeyCorridor { room_size: 3, num_rows: 1 }, [7, 3], 270, 2..=2, 2, 0, 6;
        "MiniGrid-KeyCorridorS3R2-v0": KeyCorridor { room_size: 3, num_rows: 2 }, [7, 5], 270, 4..=5, 2, 0, 6;
        "MiniGrid-KeyCorridorS3R3-v0": KeyCorridor { room_size: 3 }, [7, 7], 270, 6..=8, 2, 0, 6;
        "MiniGrid-KeyCorridorS4R3-v0": KeyCorridor { room_size: 4 }, [10, 10], 480, 6..=8, 2, 0, 6;
        "MiniGrid-KeyCorridorS6R3-v0": KeyCorridor {}, [16, 16], 1080, 6..=8, 2, 0, 6;
        "MiniGrid-ObstructedMaze-1Dl-v0": ObstructedMaze { key_in_box: false, blocked: false }, [11, 6], 288, 1..=1, 2, 0, 1;
        "MiniGrid-ObstructedMaze-1Dlh-v0": ObstructedMaze { blocked: false }, [11, 6], 288, 1..=1, 2, 0, 1;
        "MiniGrid-ObstructedMaze-1Dlhb-v0": ObstructedMaze {}, [11, 6], 288, 1..=1, 3, 0, 1;
        "MiniGrid-ObstructedMaze-2Dl-v0": ObstructedMaze { maze: Maze::TwoDoors, key_in_box: false, blocked: false }, [16, 16], 576, 3..=3, 3, 0, 1;
        "MiniGrid-ObstructedMaze-2Dlhb-v1": ObstructedMaze { maze: Maze::TwoDoors }, [16, 16], 576, 3..=3, 5, 0, 1;
        "MiniGrid-ObstructedMaze-1Q-v1": ObstructedMaze { maze: Maze::OneQuarter }, [16, 16], 720, 3..=3, 5, 0, 1;
        "MiniGrid-ObstructedMaze-2Q-v1": ObstructedMaze { maze: Maze::TwoQuarters }, [16, 16], 1584, 6..=6, 9, 0, 1;
        "MiniGrid-ObstructedMaze-Full-v1": ObstructedMaze { maze: Maze::Full }, [16, 16], 3600, 12..=12, 17, 0, 1;
        "MiniGrid-MemoryS7-v0": Memory { size: 7 }, [7, 7], 245, 0..=0, 3, 0, 1;
        "MiniGrid-MemoryS13-v0": Memory {}, [13, 13], 845, 0..=0, 3, 0, 1;
        "MiniGrid-MemoryS13Random-v0": Memory { random_length: true }, [13, 13], 845, 0..=0, 3, 0, 1;
        "MiniGrid-MemoryS17Random-v0": Memory { size: 17, random_length: true }, [17, 17], 1445, 0..=0, 3, 0, 1;
        "MiniGrid-Fetch-5x5-N2-v0": Fetch { size: 5, num_objects: 2 }, [5, 5], 125, 0..=0, 2, 0, 60;
        "MiniGrid-Fetch-8x8-N3-v0": Fetch {}, [8, 8], 320, 0..=0, 3, 0, 60;
        "MiniGrid-GoToDoor-5x5-v0": GoToDoor { size: 5 }, [5, 5], 100, 4..=4, 0, 0, 6;
        "MiniGrid-GoToDoor-6x6-v0": GoToDoor { size: 6 }, [6, 6], 144, 4..=4, 0, 0, 6;
        "MiniGrid-GoToDoor-8x8-v0": GoToDoor {}, [8, 8], 256, 4..=4, 0, 0, 6;
        "MiniGrid-RedBlueDoors-6x6-v0": RedBlueDoors { size: 6 }, [12, 6], 720, 2..=2, 0, 0, 1;
        "MiniGrid-RedBlueDoors-8x8-v0": RedBlueDoors {}, [16, 8], 1280, 2..=2, 0, 0, 1;
        "MiniGrid-PutNear-6x6-N2-v0": PutNear {}, [6, 6], 30, 0..=0, 2, 0, 306;
        "MiniGrid-PutNear-8x8-N3-v0": PutNear { size: 8, num_objects: 3 }, [8, 8], 40, 0..=0, 3, 0, 306;
        "BabyAI-GoToObj-v0": GoToObj {}, [8, 8], 64, 0..=0, 1, 0, 18;
        "BabyAI-GoToObjS4-v0": GoToObj { room_size: 4 }, [4, 4], 16, 0..=0, 1, 0, 18;
        "BabyAI-GoToRedBall-v0": GoToRedBall {}, [8, 8], 64, 0..=0, 8, 0, 2;
        "BabyAI-GoToRedBallGrey-v0": GoToRedBall { grey: true }, [8, 8], 64, 0..=0, 8, 0, 1;
        "BabyAI-GoToRedBallNoDists-v0": GoToRedBall { num_distractors: 0 }, [8, 8], 64, 0..=0, 1, 0, 1;
        "BabyAI-GoToLocal-v0": GoToLocal {}, [8, 8], 64, 0..=0, 8, 0, 36;
        "BabyAI-GoToLocalS5N2-v0": GoToLocal { room_size: 5, num_objects: 2 }, [5, 5], 25, 0..=0, 2, 0, 36;
        "BabyAI-PickupLoc-v0": PickupLoc {}, [8, 8], 64, 0..=0, 8, 0, 210;
        "BabyAI-PutNextLocal-v0": PutNextLocal {}, [8, 8], 128, 0..=0, 8, 0, 306;
        "BabyAI-PutNextLocalS5N3-v0": PutNextLocal { room_size: 5, num_objects: 3 }, [5, 5], 50, 0..=0, 3, 0, 306;
    }
}

#[test]
fn conforms() {
    for level in published() {
        let id = level.id;
        assert_eq!(check_env(level.env), Ok(()), "{id}");
    }
    let full = MiniGrid::new(&DoorKey {
        full_view: true,
        mission: false,
        ..Default::default()
    });
    assert_eq!(check_env(full.unwrap()), Ok(()));
}

#[test]
fn levels_hold_what_the_published_ones_hold() {
    for level in published() {
        let Published { id, env, .. } = &level;
        assert_eq!(env.time_limit(), Some(level.max_steps), "{id}");
        let mut families = env.reference().split(", ");
        assert!(families.any(|family| id.starts_with(family)), "{id}");
        let mut rng = rng(1);
        let mut doors = BTreeSet::new();
        for _ in 0..1000 {
            let state = env.reset(&mut rng);
            let grid = &state.grid;
            assert_eq!([grid.width(), grid.height()], level.size, "{id}");
            let count = |kind| grid.cells().iter().filter(|c| c.kind() == kind).count();
            let things: usize = Kind::CARRIED.into_iter().map(count).sum();
            assert_eq!(things, level.things, "{id}");
            assert_eq!(count(Kind::Goal), level.goals, "{id}");
            assert_eq!(count(Kind::Floor), 0, "{id}");
            doors.insert(count(Kind::Door));
            let start = grid.get(state.position);
            assert!(start.is_empty() && state.direction < 4, "{id}: {start:?}");
        }
        let seen = *doors.first().unwrap()..=*doors.last().unwrap();
        assert_eq!(seen, level.doors, "{id}");
    }
}

#[test]
fn every_mission_of_the_grammar_is_asked_and_no_other() {
    for level in published() {
        let mut rng = rng(2);
        // Many, because "a" for several things of one colour is rare.
        let episodes = 300 * level.missions;
        let missions: BTreeSet<_> = (0..episodes)
            .map(|_| level.env.reset(&mut rng).mission.text())
            .collect();
        assert_eq!(missions.len(), level.missions, "{}: {missions:?}", level.id);
        let changes = level.missions > 1;
        assert_eq!(level.works_without_mission, !changes, "{}", level.id);
    }
}

/// The places that the task is about.
fn targets(state: &MiniGridState, id: &str) -> Vec<Place> {
    let is_target =
        |cell: Cell| cell.kind() == Kind::Goal || cell.is(Mark::Target) || cell.is(Mark::Landmark);
    let mut targets: Vec<Place> = state.grid.places().collect();
    targets.retain(|&place| is_target(state.grid.get(place)));
    if targets.is_empty() {
        let noted = if id.contains("RedBlue") { 2 } else { 1 };
        targets.extend(&state.places[..noted]);
    }
    targets
}

/// Whether the agent can come to all targets if it takes things out of its way, unless it `keeps_off`, and opens
/// doors, locked ones with keys that it came to.
fn can_reach(state: &MiniGridState, targets: &[Place], keeps_off: bool) -> bool {
    let mut keys: Vec<Cell> = Vec::new();
    loop {
        let mut reached = HashSet::from([state.position]);
        let mut waiting = vec![state.position];
        while let Some(place) = waiting.pop() {
            let cell = state.grid.get(place);
            if keeps_off && !cell.is_empty() && cell.kind() != Kind::Door {
                continue;
            }
            for next in DIRECTIONS.map(|step| beside(place, step)) {
                let cell = state.grid.get(next);
                let key = Cell::new(Kind::Key, cell.color());
                let stops = match cell.kind() {
                    Kind::Wall | Kind::Lava => true,
                    Kind::Door => cell.door_state() == Some(Door::Locked) && !keys.contains(&key),
                    _ => false,
                };
                if !stops && reached.insert(next) {
                    waiting.push(next);
                }
            }
        }
        let found = reached.iter().flat_map(|&place| {
            let cell = state.grid.get(place);
            [Cell::new(cell.kind(), cell.color()), cell.content()]
        });
        let mut new: Vec<Cell> = found.filter(|cell| cell.kind() == Kind::Key).collect();
        new.retain(|key| !keys.contains(key));
        if new.is_empty() {
            return targets.iter().all(|target| reached.contains(target));
        }
        keys.extend(new);
    }
}

#[test]
fn every_level_can_be_solved() {
    for Published { id, env, .. } in published() {
        let mut rng = rng(3);
        for episode in 0..300 {
            let state = env.reset(&mut rng);
            let targets = targets(&state, id);
            let keeps_off = id.starts_with("BabyAI");
            let solvable = can_reach(&state, &targets, keeps_off);
            assert!(solvable, "{id}, episode {episode}:\n{}", state.text());
        }
    }
}

/// Fewest steps to success, by trying all actions in all states.
fn shortest_solution(env: &MiniGrid, start: MiniGridState) -> Option<u32> {
    const MOST_STATES: usize = 300_000;
    let mut rng = rng(0);
    let key = |state: &MiniGridState| {
        let cells = state.grid.cells().iter().map(|&cell| u16::from(cell));
        let agent = [state.position[0], state.position[1], state.direction as i8];
        (cells.collect::<Vec<_>>(), agent, u16::from(state.carrying))
    };
    let mut known = HashSet::from([key(&start)]);
    let mut waiting = VecDeque::from([start]);
    while let Some(state) = waiting.pop_front() {
        for action in 0..7 {
            let mut next = state.clone();
            let step = env.step(&mut next, action, &mut rng);
            if step.reward > 0.0 {
                assert_eq!(step.status, Status::Terminated);
                return Some(next.steps);
            }
            if step.status == Status::Running && known.insert(key(&next)) {
                assert!(known.len() < MOST_STATES);
                waiting.push_back(next);
            }
        }
    }
    None
}

#[test]
fn small_levels_are_solved_by_their_own_actions_in_time() {
    // Those whose states are few enough to try them all.
    const FAMILIES: [&str; 20] = [
        "Empty-Random-6x6",
        "Empty-8x8",
        "FourRooms",
        "DoorKey-5x5",
        "DoorKey-6x6",
        "MultiRoom-N2",
        "MultiRoom-N6",
        "LavaCrossingS9N3",
        "SimpleCrossingS11N5",
        "LavaGapS6",
        "DistShift",
        "MiniGrid-Unlock-v0",
        "KeyCorridorS3R2",
        "Maze-1Dl-",
        "MemoryS7",
        "GoToDoor-8x8",
        "RedBlueDoors-6x6",
        "Fetch-5x5",
        "GoToObj",
        "GoToLocalS5N2",
    ];
    let mut tried = BTreeSet::new();
    for Published {
        id, env, max_steps, ..
    } in published()
    {
        let Some(family) = FAMILIES.iter().find(|family| id.contains(*family)) else {
            continue;
        };
        tried.insert(family);
        let mut rng = rng(4);
        for episode in 0..3 {
            let start = env.reset(&mut rng);
            let steps = shortest_solution(&env, start.clone());
            // The reference's limits leave room everywhere but in the four rooms and chains of six.
            let steps =
                steps.unwrap_or_else(|| panic!("{id}, episode {episode}:\n{}", start.text()));
            assert!(steps <= max_steps, "{id}, episode {episode}: {steps} steps");
        }
    }
    assert_eq!(tried.len(), FAMILIES.len());
}

/// A state as a damaged or hostile file may hold it: every cell is one, nothing else makes sense.
fn nonsense(rng: &mut Rng) -> MiniGridState {
    let cell = |rng: &mut Rng| loop {
        if let Ok(cell) = Cell::try_from(rng.random_range(0..1_u16 << 14)) {
            return cell;
        }
    };
    let sizes = [1, 2, 7, 13, MAX_SIDE];
    let size = [(); 2].map(|()| sizes[rng.random_range(0..sizes.len())]);
    let mut state = MiniGridState::new(Grid::empty(size));
    for place in state.grid.places() {
        state.grid.set(place, cell(rng));
    }
    state.position = rng.random();
    if rng.random() {
        state.position = [0, 1].map(|axis| rng.random_range(0..size[axis] as i8));
    }
    state.direction = rng.random();
    state.carrying = cell(rng);
    state.steps = rng.random();
    state.mission.tokens = rng.random();
    state.places = rng.random();
    state
}

#[test]
fn no_state_makes_a_level_panic() {
    let mut rng = rng(5);
    for Published { id, env, .. } in published() {
        let full = MiniGrid::new(&Empty {
            full_view: true,
            ..Default::default()
        })
        .unwrap();
        for round in 0..30 {
            let mut state = nonsense(&mut rng);
            for _ in 0..20 {
                let action = rng.random_range(0..env.action_space().discrete().unwrap());
                let step = env.step(&mut state, action, &mut rng);
                assert!(step.reward.is_finite(), "{id}");
                for env in [&env, &full] {
                    let mut obs = vec![0; env.observation_space().len()];
                    env.observe(&state, &mut obs);
                }
            }
            assert!(env.render(&state).is_some());
            if round == 0 {
                assert!(env.draw(&state).is_some());
            }
        }
    }
}

#[test]
fn saved_states_come_back_and_damaged_ones_are_refused() {
    let env = MiniGrid::new(&ObstructedMaze::default()).unwrap();
    let state = env.reset(&mut rng(6));
    let json = serde_json::to_value(&state).unwrap();
    let back: MiniGridState = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(back, state);
    let mut bad = json;
    bad["grid"]["cells"][7] = 10.into();
    assert!(
        serde_json::from_value::<MiniGridState>(bad).is_err(),
        "an agent is no cell"
    );
}

#[test]
fn frames_have_one_size_and_show_the_agent() {
    for Published { id, env, .. } in published() {
        let mut rng = rng(7);
        let mut sizes = BTreeSet::new();
        for _ in 0..3 {
            let picture = env.draw(&env.reset(&mut rng)).unwrap();
            sizes.insert([picture.width, picture.height]);
        }
        assert_eq!(sizes.len(), 1, "{id}");
        let [width, height] = *sizes.first().unwrap();
        assert!(
            (128..=400).contains(&width.max(height)),
            "{id}: {width}x{height}"
        );
    }
}

#[test]
fn the_full_view_shows_the_grid_and_the_agent_in_it() {
    let env = MiniGrid::new(&DistShift {
        full_view: true,
        ..Default::default()
    })
    .unwrap();
    let mut state = env.reset(&mut rng(8));
    state.direction = 1;
    let mut obs = vec![0; env.observation_space().len()];
    env.observe(&state, &mut obs);
    let (columns, cells) = (9, 63);
    assert_eq!(obs[columns + 1], Kind::Agent as u8);
    assert_eq!(obs[2 * cells + columns + 1], 1, "its direction");
    assert_eq!(obs[columns + 3], Kind::Lava as u8);
    assert_eq!(obs[columns + 7], Kind::Goal as u8);
    assert_eq!(obs[cells + columns + 7], Color::Green as u8);
    assert_eq!(obs.len(), 3 * cells + 1 + MISSION_WORDS);
}

#[test]
fn the_mission_can_be_left_out_where_it_never_changes() {
    let env = MiniGrid::new(&Empty {
        mission: false,
        ..Default::default()
    })
    .unwrap();
    assert_eq!(env.observation_space().len(), 148);
    assert_eq!(env.vocabulary().len(), 0);
    let error = MiniGrid::new(&Fetch {
        mission: false,
        ..Default::default()
    });
    assert_eq!(
        error.unwrap_err().to_string(),
        "mission: false in a level whose mission changes; give true"
    );
}

#[test]
fn bad_options_name_their_key() {
    let errors = [
        (
            MiniGrid::new(&Empty {
                size: 3,
                ..Default::default()
            }),
            "size: 3 is out of range; give 4 to 25",
        ),
        (
            MiniGrid::new(&Empty {
                size: 26,
                ..Default::default()
            }),
            "size: 26 is out of range; give 4 to 25",
        ),
        (
            MiniGrid::new(&Crossing {
                size: 8,
                ..Default::default()
            }),
            "size: 8 is even; give an odd number",
        ),
        (
            MiniGrid::new(&Crossing {
                num_crossings: 7,
                ..Default::default()
            }),
            "num_crossings: 7 is out of range; give 1 to 6",
        ),
        (
            MiniGrid::new(&Memory {
                size: 12,
                ..Default::default()
            }),
            "size: 12 is even; give an odd number",
        ),
        (
            MiniGrid::new(&DynamicObstacles {
                size: 5,
                num_obstacles: 4,
                ..Default::default()
            }),
            "num_obstacles: 4 is out of range; give 1 to 3",
        ),
        (
            MiniGrid::new(&PutNear {
                num_objects: 3,
                ..Default::default()
            }),
            "num_objects: 3 is out of range; give 2 to 2",
        ),
        (
            MiniGrid::new(&GoToLocal {
                room_size: 5,
                num_objects: 4,
                ..Default::default()
            }),
            "num_objects: 4 is out of range; give 1 to 3",
        ),
        (
            MiniGrid::new(&GoToRedBall {
                room_size: 5,
                num_distractors: 3,
                ..Default::default()
            }),
            "num_distractors: 3 is out of range; give 0 to 2",
        ),
    ];
    for (made, message) in errors {
        assert_eq!(made.unwrap_err().to_string(), message);
    }
}

/// The largest and fullest levels that the options allow are laid out in time.
#[test]
fn options_at_their_ends_can_be_laid_out() {
    let mut rng = rng(9);
    let mut lay_out = |env: thorndike_core::Result<MiniGrid>| {
        let env = env.unwrap();
        for _ in 0..20 {
            env.reset(&mut rng);
        }
    };
    lay_out(MiniGrid::new(&Empty {
        size: 4,
        random_start: true,
        ..Default::default()
    }));
    lay_out(MiniGrid::new(&DoorKey {
        size: 25,
        ..Default::default()
    }));
    for size in 5..=25 {
        let num_obstacles = size / 2 + 1;
        lay_out(MiniGrid::new(&DynamicObstacles {
            size,
            num_obstacles,
            random_start: true,
            ..Default::default()
        }));
        lay_out(MiniGrid::new(&Fetch {
            size,
            num_objects: 8.min((size - 2).pow(2) - 1),
            ..Default::default()
        }));
        lay_out(MiniGrid::new(&GoToDoor {
            size,
            ..Default::default()
        }));
        lay_out(MiniGrid::new(&LavaGap {
            size,
            ..Default::default()
        }));
    }
    for size in (5..=25).step_by(2) {
        lay_out(MiniGrid::new(&Crossing {
            size,
            num_crossings: size - 3,
            ..Default::default()
        }));
    }
    for size in (7..=25).step_by(2) {
        lay_out(MiniGrid::new(&Memory {
            size,
            random_length: true,
            ..Default::default()
        }));
    }
    for size in 4..=12 {
        lay_out(MiniGrid::new(&RedBlueDoors {
            size,
            ..Default::default()
        }));
    }
    for size in 6..=12 {
        let num_objects = ((size - 2_usize).pow(2) - 1) / 9 + 1;
        lay_out(MiniGrid::new(&PutNear {
            size,
            num_objects,
            ..Default::default()
        }));
    }
    for room_size in 3..=9 {
        for num_rows in 1..=3 {
            lay_out(MiniGrid::new(&KeyCorridor {
                room_size,
                num_rows,
                ..Default::default()
            }));
        }
    }
    for room_size in 5..=25 {
        let fit = (room_size - 2_usize).pow(2) / 3;
        let num_objects = fit.min(36);
        lay_out(MiniGrid::new(&GoToLocal {
            room_size,
            num_objects,
            ..Default::default()
        }));
        let num_distractors = num_objects - 1;
        lay_out(MiniGrid::new(&GoToRedBall {
            room_size,
            num_distractors,
            ..Default::default()
        }));
        lay_out(MiniGrid::new(&PutNextLocal {
            room_size,
            num_objects: fit.min(18),
            ..Default::default()
        }));
    }
}
