//! MiniGrid and BabyAI levels, from their recorded layouts on.

use serde::Deserialize;
use thorndike_core::Env;
use thorndike_envs::minigrid::{
    BlockedUnlockPickup, Cell, Color, Crossing, DistShift, Door, DoorKey, Empty, Fetch, FourRooms,
    GoToDoor, GoToLocal, GoToObj, GoToRedBall, Grid, KeyCorridor, Kind, LavaGap, Mark, Maze,
    Memory, MiniGrid, MiniGridState, Mission, MultiRoom, Obstacle, ObstructedMaze, PickupLoc,
    Place, PutNear, PutNextLocal, RedBlueDoors, Unlock, UnlockPickup, VIEW_SIDE,
};

use crate::records::{Trajectory, for_each_record, replay, rng, status};

#[derive(Deserialize)]
#[serde(untagged)]
enum Record {
    Episode(Box<Episode>),
    Names(Names),
}

#[derive(Deserialize)]
struct Names {
    objects: std::collections::BTreeMap<String, usize>,
    colors: std::collections::BTreeMap<String, usize>,
    states: std::collections::BTreeMap<String, usize>,
    actions: Vec<String>,
}

#[derive(Deserialize)]
struct Episode {
    id: String,
    env: String,
    level: Layout,
    obs0: String,
    direction0: u8,
    actions: Vec<usize>,
    obs: Vec<String>,
    direction: Vec<u8>,
    pos: Vec<Place>,
    carrying: Vec<Option<Named>>,
    rewards: Vec<f64>,
    terminated: Vec<u8>,
    truncated: Vec<u8>,
    grid_at_end: String,
}

/// Kind and colour.
type Named = (String, String);

#[derive(Deserialize)]
struct Layout {
    width: usize,
    height: usize,
    grid: String,
    /// Column, row, what it holds.
    boxes: Vec<(i8, i8, Option<Named>)>,
    agent_pos: Place,
    agent_dir: u8,
    mission: String,
    max_steps: u32,
    extra: Extra,
}

/// What the level keeps in mind.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Extra {
    /// Kind, colour, place of what is to be picked up.
    obj: Option<(String, String, Place)>,
    /// Kind and colour of the door to be opened.
    door: Option<Named>,
    #[serde(rename = "targetType")]
    fetched_kind: Option<String>,
    #[serde(rename = "targetColor")]
    fetched_color: Option<String>,
    target_pos: Option<Place>,
    #[serde(rename = "target_color")]
    _target_color: Option<String>,
    success_pos: Option<Place>,
    failure_pos: Option<Place>,
    red_door: Option<Place>,
    blue_door: Option<Place>,
    targets: Option<Vec<Place>>,
    landmarks: Option<Vec<Place>>,
}

fn environment(id: &str) -> MiniGrid {
    let memory = |size, random_length| Memory {
        size,
        random_length,
        ..Default::default()
    };
    match id {
        "MiniGrid-Empty-8x8-v0" => MiniGrid::new(&Empty::default()),
        "MiniGrid-Empty-5x5-v0" => MiniGrid::new(&Empty {
            size: 5,
            ..Default::default()
        }),
        "MiniGrid-Empty-Random-6x6-v0" => MiniGrid::new(&Empty {
            size: 6,
            random_start: true,
            ..Default::default()
        }),
        "MiniGrid-FourRooms-v0" => MiniGrid::new(&FourRooms::default()),
        "MiniGrid-DoorKey-6x6-v0" => MiniGrid::new(&DoorKey {
            size: 6,
            ..Default::default()
        }),
        "MiniGrid-LavaCrossingS9N2-v0" => MiniGrid::new(&Crossing {
            num_crossings: 2,
            ..Default::default()
        }),
        "MiniGrid-LavaGapS6-v0" => MiniGrid::new(&LavaGap {
            size: 6,
            ..Default::default()
        }),
        "MiniGrid-MemoryS7-v0" => MiniGrid::new(&memory(7, false)),
        "MiniGrid-MemoryS13Random-v0" => MiniGrid::new(&memory(13, true)),
        "MiniGrid-KeyCorridorS3R2-v0" => MiniGrid::new(&KeyCorridor {
            room_size: 3,
            num_rows: 2,
            ..Default::default()
        }),
        "MiniGrid-Unlock-v0" => MiniGrid::new(&Unlock::default()),
        "MiniGrid-UnlockPickup-v0" => MiniGrid::new(&UnlockPickup::default()),
        "MiniGrid-Fetch-5x5-N2-v0" => MiniGrid::new(&Fetch {
            size: 5,
            num_objects: 2,
            ..Default::default()
        }),
        "MiniGrid-GoToDoor-5x5-v0" => MiniGrid::new(&GoToDoor {
            size: 5,
            ..Default::default()
        }),
        "MiniGrid-RedBlueDoors-6x6-v0" => MiniGrid::new(&RedBlueDoors {
            size: 6,
            ..Default::default()
        }),
        "MiniGrid-MultiRoom-N2-S4-v0" => MiniGrid::new(&MultiRoom {
            num_rooms: 2,
            max_room_size: 4,
            ..Default::default()
        }),
        "MiniGrid-ObstructedMaze-1Dlh-v0" => MiniGrid::new(&ObstructedMaze {
            maze: Maze::OneDoor,
            blocked: false,
            ..Default::default()
        }),
        "MiniGrid-PutNear-6x6-N2-v0" => MiniGrid::new(&PutNear::default()),
        "MiniGrid-PutNear-8x8-N3-v0" => MiniGrid::new(&PutNear {
            size: 8,
            num_objects: 3,
            ..Default::default()
        }),
        "MiniGrid-BlockedUnlockPickup-v0" => MiniGrid::new(&BlockedUnlockPickup::default()),
        "MiniGrid-DistShift2-v0" => MiniGrid::new(&DistShift {
            second_strip: 5,
            ..Default::default()
        }),
        "MiniGrid-SimpleCrossingS9N2-v0" => MiniGrid::new(&Crossing {
            num_crossings: 2,
            obstacle: Obstacle::Wall,
            ..Default::default()
        }),
        "MiniGrid-ObstructedMaze-2Dlhb-v1" => MiniGrid::new(&ObstructedMaze {
            maze: Maze::TwoDoors,
            ..Default::default()
        }),
        "BabyAI-GoToObjS4-v0" => MiniGrid::new(&GoToObj {
            room_size: 4,
            ..Default::default()
        }),
        "BabyAI-PutNextLocalS5N3-v0" => MiniGrid::new(&PutNextLocal {
            room_size: 5,
            num_objects: 3,
            ..Default::default()
        }),
        "BabyAI-GoToRedBallGrey-v0" => MiniGrid::new(&GoToRedBall {
            grey: true,
            ..Default::default()
        }),
        "BabyAI-GoToLocal-v0" => MiniGrid::new(&GoToLocal::default()),
        "BabyAI-PickupLoc-v0" => MiniGrid::new(&PickupLoc::default()),
        "BabyAI-PutNextLocal-v0" => MiniGrid::new(&PutNextLocal::default()),
        _ => panic!("cannot be replayed: environment {id}"),
    }
    .unwrap()
}

fn kind(name: &str) -> Kind {
    Kind::CARRIED
        .into_iter()
        .chain([Kind::Door])
        .find(|kind| kind.name() == name)
        .unwrap()
}

fn color(name: &str) -> Color {
    let mut colors = Color::ALL.into_iter();
    colors.find(|color| color.name() == name).unwrap()
}

fn thing((kind_name, color_name): &Named) -> Cell {
    Cell::new(kind(kind_name), color(color_name))
}

/// Groups of three bytes.
fn decode(base64: &str) -> Vec<[u8; 3]> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => panic!("digit {c}"),
    };
    assert!(base64.len().is_multiple_of(4));
    let quads = base64.as_bytes().chunks_exact(4).map(|quad| {
        let bits = quad
            .iter()
            .fold(0_u32, |bits, &c| bits << 6 | u32::from(digit(c)));
        let [_, bytes @ ..] = bits.to_be_bytes();
        bytes
    });
    quads.collect()
}

/// Planes, rows, columns of what is recorded as columns, rows, planes.
fn planes(base64: &str) -> Vec<f64> {
    let cells = decode(base64);
    assert_eq!(cells.len(), VIEW_SIDE * VIEW_SIDE);
    let at = |plane: usize, row: usize, column: usize| cells[column * VIEW_SIDE + row][plane];
    let rows = |plane| (0..VIEW_SIDE).map(move |row| (plane, row));
    (0..3)
        .flat_map(rows)
        .flat_map(|(plane, row)| {
            (0..VIEW_SIDE).map(move |column| f64::from(at(plane, row, column)))
        })
        .collect()
}

/// The grid as it is recorded: column by column.
fn encoded(grid: &Grid) -> Vec<[u8; 3]> {
    let (width, height) = (grid.width() as i8, grid.height() as i8);
    let column = |x| (0..height).map(move |y| [x, y]);
    let cells = (0..width).flat_map(column).map(|place| grid.get(place));
    cells
        .map(|cell| {
            let state = cell.door_state().map_or(0, |door| door as u8);
            [cell.kind() as u8, cell.color() as u8, state]
        })
        .collect()
}

impl Layout {
    fn state(&self, env: &str) -> MiniGridState {
        let mut grid = Grid::empty([self.width, self.height]);
        let cells = decode(&self.grid);
        for place in grid.places() {
            let [kind, color, state] = cells[place[0] as usize * self.height + place[1] as usize];
            let kind = Kind::from_index(kind.into()).unwrap();
            let color = Color::from_index(color.into()).unwrap();
            let cell = match (kind, state) {
                (Kind::Door, 0) => Cell::door(color, Door::Open),
                (Kind::Door, 1) => Cell::door(color, Door::Closed),
                (Kind::Door, _) => Cell::door(color, Door::Locked),
                _ => Cell::new(kind, color),
            };
            grid.set(place, cell);
        }
        for (x, y, content) in &self.boxes {
            if let Some(content) = content {
                let key = thing(content);
                assert_eq!(key.kind(), Kind::Key);
                let cell = grid.get([*x, *y]);
                grid.set([*x, *y], cell.holding_key(key.color()));
            }
        }
        let mut state = MiniGridState::new(grid);
        state.position = self.agent_pos;
        state.direction = self.agent_dir;
        state.mission = Mission::new(&self.mission);
        self.note_targets(env, &mut state);
        state
    }

    /// What the level would have noted when it was laid out.
    fn note_targets(&self, env: &str, state: &mut MiniGridState) {
        let Extra {
            obj,
            door,
            fetched_kind,
            fetched_color,
            target_pos,
            success_pos,
            failure_pos,
            red_door,
            blue_door,
            targets,
            landmarks,
            ..
        } = &self.extra;
        for (places, mark) in [(targets, Mark::Target), (landmarks, Mark::Landmark)] {
            for &place in places.iter().flatten() {
                let cell = state.grid.get(place);
                state.grid.set(place, cell.marked(mark));
            }
        }
        if let Some((_, _, place)) = obj {
            let cell = state.grid.get(*place);
            state.grid.set(*place, cell.marked(Mark::Target));
        }
        let fetched = fetched_kind.clone().zip(fetched_color.clone());
        if let Some(target) = fetched.as_ref().or(door.as_ref()).map(thing) {
            state
                .grid
                .mark(Mark::Target, |cell| cell.looks_like(target));
        }
        let noted = [
            success_pos.or(red_door.or(*target_pos)),
            failure_pos.or(*blue_door),
        ];
        for (place, noted) in state.places.iter_mut().zip(noted) {
            *place = noted.unwrap_or_default();
        }
        if env.starts_with("BabyAI") && targets.is_none() {
            self.note_described(state);
        }
    }

    /// BabyAI's missions say it in words: none of the records names a location.
    fn note_described(&self, state: &mut MiniGridState) {
        let parts = self.mission.split(" next to ");
        for (part, mark) in parts.zip([Mark::Target, Mark::Landmark]) {
            let words: Vec<&str> = part.split(' ').collect();
            let described = kind(words[words.len() - 1]);
            let color = Color::ALL.into_iter().find(|c| words.contains(&c.name()));
            state.grid.mark(mark, |cell| {
                cell.kind() == described && color.is_none_or(|color| cell.color() == color)
            });
        }
    }
}

fn check(record: Record) -> usize {
    let episode = match record {
        Record::Episode(episode) => episode,
        Record::Names(names) => return names.check(),
    };
    let Episode { id, level, .. } = &*episode;
    let env = environment(&episode.env);
    assert_eq!(env.time_limit(), Some(level.max_steps), "{id}: time limit");
    let start = level.state(&episode.env);
    let words = start.mission.tokens.map(f64::from);
    let seen =
        |image: &str, direction: u8| [&planes(image)[..], &[f64::from(direction)], &words].concat();
    let views = episode.obs.iter().zip(&episode.direction);
    let trajectory = Trajectory {
        id,
        obs0: seen(&episode.obs0, episode.direction0),
        actions: &episode.actions,
        obs: views
            .map(|(image, &direction)| seen(image, direction))
            .collect(),
        rewards: &episode.rewards,
        status: status(&episode.terminated, &episode.truncated),
        time_limit: Some(level.max_steps),
    };
    let step = |state: &mut MiniGridState, action, _| env.step(state, action, &mut rng());
    let last = episode.actions.len() - 1;
    replay(
        &env,
        &trajectory,
        start,
        step,
        MiniGrid::observe,
        |t, state| {
            assert_eq!(state.position, episode.pos[t], "{id}: position {t}");
            let carried = episode.carrying[t].as_ref().map_or(Cell::EMPTY, thing);
            assert!(state.carrying.looks_like(carried), "{id}: carrying {t}");
            if t == last {
                let end = decode(&episode.grid_at_end);
                assert_eq!(encoded(&state.grid), end, "{id}: grid at the end");
            }
        },
    )
}

impl Names {
    fn check(&self) -> usize {
        for (name, &index) in &self.objects {
            assert_eq!(Kind::from_index(index).unwrap().name(), name);
        }
        for (name, &index) in &self.colors {
            assert_eq!(Color::from_index(index).unwrap().name(), name);
        }
        let states = ["open", "closed", "locked"].map(|name| self.states[name]);
        assert_eq!(
            states,
            [Door::Open, Door::Closed, Door::Locked].map(|door| door as usize)
        );
        let env = environment("MiniGrid-Empty-8x8-v0");
        assert_eq!(env.action_names(), self.actions);
        self.objects.len() + self.colors.len() + states.len() + self.actions.len()
    }
}

#[test]
fn golden_minigrid() {
    for_each_record("minigrid", "", check);
}
