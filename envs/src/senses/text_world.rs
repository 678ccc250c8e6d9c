use rand::RngExt;
use serde::{Deserialize, Serialize};
use thorndike_core::{Env, Picture, Result, Rng, Space, Step, check_range};

use super::phrases::{About, OBJECTS, Paraphrases, Phrases, ROOMS, Say, Writer};
use crate::canvas::{Canvas, Rgb, colors};

/// The house has two rows of three rooms.
const COLUMNS: u8 = 3;
const ROWS: u8 = 2;

/// `text-world`: a house told in English, and a goal that is another one in each episode. Tests whether an agent
/// reads: the same room asks for different actions under different goals.
///
/// The rooms, row by row: kitchen, hall, library; cellar, garden, attic. A chest, which may hold objects, and a lamp,
/// a key, a book and a cup are somewhere. One object can be carried at a time.
///
/// **Action space**: `discrete(10)`.
///
/// | action | meaning |
/// |---|---|
/// | 0, 1, 2, 3 | go north, east, south, west; without a way there: stay |
/// | 4, 5, 6, 7 | take the lamp, key, book, cup: if it lies here or in the open chest here, and the hand is empty |
/// | 8 | drop what is carried |
/// | 9 | open the chest, if it is here |
///
/// **Observation space**: `multi-discrete`, 95 tokens of a vocabulary of 97.
///
/// | index | meaning | unit | range |
/// |---|---|---|---|
/// | 0.. | the goal: what to do, and where the thing is that it is about | tokens | 1 to 96 |
/// | then | the place: room, ways, objects and chest here, what is carried | tokens | 1 to 96 |
/// | to the end | filler | – | 0 |
///
/// [`vocabulary`](Env::vocabulary) names the words; token 0 is `<pad>`, and "." ends a sentence. Each sentence is one
/// of several with the same meaning: the goal's are drawn for the episode, the place's on every step. With
/// `paraphrases = "held-back"` sentences come that were not trained with, made of words that were; with `"new-words"`,
/// sentences each of which has a word that none to train with has. The row says all that counts, except where the agent
/// itself has dropped the object it seeks.
///
/// **Reward**: `1 - step_cost` for reaching the goal, otherwise `-step_cost`. Random actions have a mean return of
/// 0.038 ± 0.009 (5000 episodes), an oracle that sees the state 0.9708 ± 0.0002 (5000 episodes).
///
/// **Start**: agent and chest in rooms drawn uniformly; each object in a room or in the closed chest. The goal is one
/// of "go to a room", "take an object", "bring an object to a room", "open the chest", and not reached yet.
///
/// **End**: terminated when the goal is reached; truncated after 50 steps.
///
/// **Config**: [`TextWorldConfig`].
///
/// # Reference
/// Our own, after the homes of Narasimhan, Kulkarni and Barzilay, *Language Understanding for Text-based Games using
/// Deep Reinforcement Learning*, 2015, and Côté et al., *TextWorld: A Learning Environment for Text-based Games*, 2018.
#[derive(Clone, Debug)]
pub struct TextWorld {
    phrases: Phrases,
    max_len: usize,
    step_cost: f32,
}

/// Configuration of [`TextWorld`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TextWorldConfig {
    /// Which sentences are said.
    pub paraphrases: Paraphrases,
    /// Cost of a step, 0 to 1.
    pub step_cost: f32,
}

impl Default for TextWorldConfig {
    fn default() -> Self {
        Self {
            paraphrases: Paraphrases::Train,
            step_cost: 0.01,
        }
    }
}

/// Where an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// On the floor of a room.
    Room(u8),
    /// In the chest.
    Chest,
    /// In the agent's hand.
    Hand,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Goal {
    /// Go to a room.
    Visit(u8),
    /// Take an object.
    Take(u8),
    /// Bring an object to a room.
    Bring(u8, u8),
    /// Open the chest.
    Open,
}

impl Goal {
    fn object(self) -> Option<u8> {
        match self {
            Self::Take(object) | Self::Bring(object, _) => Some(object),
            Self::Visit(_) | Self::Open => None,
        }
    }
}

/// State of [`TextWorld`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextWorldState {
    /// Room of the agent, row by row.
    pub room: u8,
    /// Where the objects are.
    pub objects: [Place; OBJECTS.len()],
    /// Room of the chest.
    pub chest_room: u8,
    /// Whether the chest is open.
    pub chest_open: bool,
    /// What is to be done.
    pub goal: Goal,
    /// Where the goal's object was at the start, as the goal says it.
    pub told: Place,
    /// How the goal is worded.
    pub goal_wording: u64,
    /// How the place is worded.
    pub wording: u64,
}

impl TextWorldState {
    /// Whether the goal has been reached.
    fn is_done(&self) -> bool {
        let place = |object: u8| self.objects.get(usize::from(object)).copied();
        match self.goal {
            Goal::Visit(room) => self.room == room,
            Goal::Take(object) => place(object) == Some(Place::Hand),
            Goal::Bring(object, room) => place(object) == Some(Place::Room(room)),
            Goal::Open => self.chest_open,
        }
    }

    fn carried(&self) -> Option<usize> {
        self.objects.iter().position(|&place| place == Place::Hand)
    }

    /// Whether something at `place` can be seen and taken.
    fn is_at_hand(&self, place: Place) -> bool {
        match place {
            Place::Room(room) => room == self.room,
            Place::Chest => self.chest_open && self.chest_room == self.room,
            Place::Hand => false,
        }
    }
}

/// The room to which `direction` leads, if a way does.
fn neighbour(room: u8, direction: usize) -> Option<u8> {
    let (row, column) = (room / COLUMNS, room % COLUMNS);
    match direction {
        _ if row >= ROWS => None,
        0 if row > 0 => Some(room - COLUMNS),
        1 if column + 1 < COLUMNS => Some(room + 1),
        2 if row + 1 < ROWS => Some(room + COLUMNS),
        3 if column > 0 => Some(room - 1),
        _ => None,
    }
}

impl TextWorld {
    /// # Errors
    /// [`Error::Config`](thorndike_core::Error::Config) if a number is out of range.
    pub fn new(config: &TextWorldConfig) -> Result<Self> {
        check_range("step_cost", config.step_cost, 0.0..=1.0)?;
        use Say::{
            Carry, CarryNothing, ChestIsInRoom, ClosedChest, Exits, GoalBring, GoalOpen, GoalTake,
            GoalVisit, InChest, Object, ObjectIsInChest, ObjectIsInRoom, OpenChest, Room,
        };
        // The longest of what can be said side by side; one object at a time is carried and not here.
        let object = Phrases::longest(&[Object, InChest]);
        let parts = [
            Phrases::longest(&[GoalVisit, GoalTake, GoalBring, GoalOpen]),
            Phrases::longest(&[ObjectIsInRoom, ObjectIsInChest]),
            Phrases::longest(&[ChestIsInRoom]),
            Phrases::longest(&[Room]),
            Phrases::longest(&[Exits]),
            Phrases::longest(&[ClosedChest, OpenChest]),
            OBJECTS.len() * object,
            Phrases::longest(&[Carry, CarryNothing]),
        ];
        Ok(Self {
            phrases: Phrases::new(config.paraphrases),
            max_len: parts.iter().sum(),
            step_cost: config.step_cost,
        })
    }

    /// What is said in `state`, as words.
    pub fn text(&self, state: &TextWorldState) -> String {
        let mut tokens = vec![0; self.max_len];
        self.observe(state, &mut tokens);
        let words = tokens.iter().filter(|&&token| token != 0);
        let words: Vec<&str> = words
            .map(|&token| &*self.phrases.vocabulary[token as usize])
            .collect();
        words.join(" ").replace(" .", ".")
    }

    fn say_goal(&self, state: &TextWorldState, writer: &mut Writer<'_>) {
        let object = state.goal.object();
        let about = |room| About {
            room,
            object: object.unwrap_or(0),
            ..About::default()
        };
        match state.goal {
            Goal::Visit(room) => writer.say(Say::GoalVisit, about(room)),
            Goal::Take(_) => writer.say(Say::GoalTake, about(0)),
            Goal::Bring(_, room) => writer.say(Say::GoalBring, about(room)),
            Goal::Open => writer.say(Say::GoalOpen, about(0)),
        }
        let mut chest = state.goal == Goal::Open;
        if object.is_some() {
            match state.told {
                Place::Room(room) => writer.say(Say::ObjectIsInRoom, about(room)),
                Place::Chest | Place::Hand => {
                    writer.say(Say::ObjectIsInChest, about(0));
                    chest = true;
                }
            }
        }
        if chest {
            writer.say(Say::ChestIsInRoom, about(state.chest_room));
        }
    }

    fn say_place(&self, state: &TextWorldState, writer: &mut Writer<'_>) {
        let about = About {
            room: state.room,
            directions: [0, 1, 2, 3].map(|direction| neighbour(state.room, direction).is_some()),
            ..About::default()
        };
        writer.say(Say::Room, about);
        writer.say(Say::Exits, about);
        if state.chest_room == state.room {
            let chest = if state.chest_open {
                Say::OpenChest
            } else {
                Say::ClosedChest
            };
            writer.say(chest, about);
        }
        for (object, &place) in (0..).zip(&state.objects) {
            if state.is_at_hand(place) {
                let say = if place == Place::Chest {
                    Say::InChest
                } else {
                    Say::Object
                };
                writer.say(say, About { object, ..about });
            }
        }
        match state.carried() {
            Some(object) => {
                let object = object as u8;
                writer.say(Say::Carry, About { object, ..about });
            }
            None => writer.say(Say::CarryNothing, about),
        }
    }
}

impl Env for TextWorld {
    type State = TextWorldState;
    type Obs = i32;
    type Action = usize;

    fn observation_space(&self) -> Space {
        Space::MultiDiscrete(vec![self.phrases.vocabulary.len(); self.max_len])
    }
    fn action_space(&self) -> Space {
        Space::Discrete(10)
    }
    fn action_names(&self) -> &'static [&'static str] {
        &[
            "north",
            "east",
            "south",
            "west",
            "take lamp",
            "take key",
            "take book",
            "take cup",
            "drop",
            "open",
        ]
    }
    fn vocabulary(&self) -> &[String] {
        &self.phrases.vocabulary
    }
    fn time_limit(&self) -> Option<u32> {
        Some(50)
    }

    fn reset(&self, rng: &mut Rng) -> TextWorldState {
        let rooms = ROOMS.len() as u8;
        let mut state = TextWorldState {
            room: rng.random_range(0..rooms),
            objects: std::array::from_fn(|_| match rng.random_range(0..=rooms) {
                room if room < rooms => Place::Room(room),
                _ => Place::Chest,
            }),
            chest_room: rng.random_range(0..rooms),
            chest_open: false,
            goal: Goal::Open,
            told: Place::Chest,
            goal_wording: rng.random(),
            wording: rng.random(),
        };
        let object = rng.random_range(0..OBJECTS.len() as u8);
        state.told = state.objects[usize::from(object)];
        let kind = rng.random_range(0..4);
        loop {
            let room = rng.random_range(0..rooms);
            state.goal = match kind {
                0 => Goal::Visit(room),
                1 => Goal::Take(object),
                2 => Goal::Bring(object, room),
                _ => Goal::Open,
            };
            // Of six rooms one at most is there already.
            if !state.is_done() {
                return state;
            }
        }
    }

    fn step(&self, state: &mut TextWorldState, action: usize, rng: &mut Rng) -> Step {
        state.wording = rng.random();
        match action {
            0..4 => state.room = neighbour(state.room, action).unwrap_or(state.room),
            4..8 => {
                let place = state.objects[action - 4];
                if state.carried().is_none() && state.is_at_hand(place) {
                    state.objects[action - 4] = Place::Hand;
                }
            }
            8 => {
                if let Some(object) = state.carried() {
                    state.objects[object] = Place::Room(state.room);
                }
            }
            _ => state.chest_open |= state.chest_room == state.room,
        }
        if state.is_done() {
            Step::terminal(1.0 - self.step_cost)
        } else {
            Step::running(-self.step_cost)
        }
    }

    fn observe(&self, state: &TextWorldState, obs: &mut [i32]) {
        let mut writer = Writer::new(&self.phrases, obs);
        writer.word_by(state.goal_wording);
        self.say_goal(state, &mut writer);
        writer.word_by(state.wording);
        self.say_place(state, &mut writer);
        writer.finish();
    }

    fn reference(&self) -> &'static str {
        "Thorndike"
    }
    fn render(&self, state: &TextWorldState) -> Option<String> {
        let text = self.text(state);
        let sentences = text.split_inclusive('.').map(str::trim);
        Some(sentences.map(|sentence| format!("{sentence}\n")).collect())
    }

    fn draw(&self, state: &TextWorldState) -> Option<Picture> {
        const INKS: [Rgb; OBJECTS.len()] =
            [colors::YELLOW, colors::ORANGE, colors::PURPLE, colors::SKY];
        let mut canvas = Canvas::grid(COLUMNS.into(), ROWS.into(), 112);
        let corner = |room: u8| [f64::from(room % COLUMNS), f64::from(room / COLUMNS)];
        let mut tile = |[x, y]: [f64; 2], at: [f64; 4], ink: Rgb| {
            let [left, top, right, bottom] = at;
            canvas.rectangle([x + left, y + top], [x + right, y + bottom], ink);
        };
        for room in 0..ROOMS.len() as u8 {
            let goal =
                matches!(state.goal, Goal::Visit(goal) | Goal::Bring(_, goal) if goal == room);
            let wall = if goal { colors::GREEN } else { colors::GREY };
            tile(corner(room), [0.0, 0.0, 1.0, 1.0], wall);
            tile(corner(room), [0.04, 0.04, 0.96, 0.96], colors::WHITE);
            for direction in (0..4).filter(|&direction| neighbour(room, direction).is_some()) {
                let door = [
                    [0.4, 0.0, 0.6, 0.04],
                    [0.96, 0.4, 1.0, 0.6],
                    [0.4, 0.96, 0.6, 1.0],
                    [0.0, 0.4, 0.04, 0.6],
                ][direction];
                tile(corner(room), door, colors::WHITE);
            }
        }
        let chest = corner(state.chest_room);
        tile(chest, [0.52, 0.12, 0.9, 0.4], colors::BLACK);
        if state.chest_open {
            tile(chest, [0.55, 0.15, 0.87, 0.37], colors::LIGHT_GREY);
        }
        for (i, (&place, ink)) in state.objects.iter().zip(INKS).enumerate() {
            let left = 0.1 + 0.2 * i as f64;
            let chest_left = 0.56 + 0.08 * i as f64;
            let (room, at) = match place {
                Place::Room(room) => (room, [left, 0.72, left + 0.15, 0.9]),
                Place::Chest => (state.chest_room, [chest_left, 0.2, chest_left + 0.06, 0.32]),
                Place::Hand => (state.room, [0.34, 0.34, 0.46, 0.48]),
            };
            if place != Place::Chest || state.chest_open {
                let [left, top, right, bottom] = at;
                tile(
                    corner(room),
                    [left - 0.02, top - 0.02, right + 0.02, bottom + 0.02],
                    colors::BLACK,
                );
                tile(corner(room), at, ink);
            }
        }
        let [x, y] = corner(state.room);
        canvas.disc([x + 0.25, y + 0.35], 0.14, colors::RED);
        Some(canvas.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::Score;
    use thorndike_core::{Seeds, check_env};

    fn world(paraphrases: Paraphrases) -> TextWorld {
        TextWorld::new(&TextWorldConfig {
            paraphrases,
            ..Default::default()
        })
        .unwrap()
    }

    fn rng() -> Rng {
        Seeds::new(0).stream("test", 0)
    }

    /// Nobody is anywhere near the goal.
    fn start() -> TextWorldState {
        TextWorldState {
            room: 0,
            objects: [Place::Room(1), Place::Chest, Place::Room(4), Place::Room(0)],
            chest_room: 1,
            chest_open: false,
            goal: Goal::Bring(1, 0),
            told: Place::Chest,
            goal_wording: 0,
            wording: 0,
        }
    }

    fn walk(state: &mut TextWorldState, actions: &[usize]) -> Vec<Step> {
        let env = world(Paraphrases::Train);
        let rng = &mut rng();
        actions
            .iter()
            .map(|&action| env.step(state, action, rng))
            .collect()
    }

    /// The way to go to `room`, if the agent is not there.
    fn towards(state: &TextWorldState, room: u8) -> Option<usize> {
        let [from, to] = [state.room, room].map(|room| (room / COLUMNS, room % COLUMNS));
        match () {
            () if from.0 > to.0 => Some(0),
            () if from.0 < to.0 => Some(2),
            () if from.1 < to.1 => Some(1),
            () if from.1 > to.1 => Some(3),
            () => None,
        }
    }

    fn oracle(state: &TextWorldState) -> usize {
        let (object, room) = match state.goal {
            Goal::Visit(room) => return towards(state, room).unwrap(),
            Goal::Open => return towards(state, state.chest_room).unwrap_or(9),
            Goal::Take(object) => (object, None),
            Goal::Bring(object, room) => (object, Some(room)),
        };
        let take = 4 + usize::from(object);
        match state.objects[usize::from(object)] {
            Place::Hand => towards(state, room.unwrap()).unwrap_or(8),
            Place::Room(room) => towards(state, room).unwrap_or(take),
            Place::Chest => {
                let at_chest = if state.chest_open { take } else { 9 };
                towards(state, state.chest_room).unwrap_or(at_chest)
            }
        }
    }

    #[test]
    fn conforms() {
        for which in [
            Paraphrases::Train,
            Paraphrases::HeldBack,
            Paraphrases::NewWords,
            Paraphrases::All,
        ] {
            assert_eq!(check_env(world(which)), Ok(()));
        }
    }

    #[test]
    fn goal_and_place_are_told_in_sentences() {
        assert_eq!(
            world(Paraphrases::Train).text(&start()),
            "bring the key to the kitchen. the key is in the chest. the chest is in the hall. \
             you are in the kitchen. you can go east and south. there is a cup here. you carry nothing."
        );
        assert_eq!(
            world(Paraphrases::HeldBack).text(&start()),
            "you must bring the key to the kitchen. in the chest you will find the key. in the hall stands the chest. \
             the kitchen is around you. from here ways lead east and south. here lies a cup. you hold nothing."
        );
    }

    #[test]
    fn the_closed_chest_gives_nothing() {
        let mut state = start();
        let steps = walk(&mut state, &[1, 5, 9, 5, 3, 8]);
        let (last, before) = steps.split_last().unwrap();
        assert!(before.iter().all(|&step| step == Step::running(-0.01)));
        assert_eq!(*last, Step::terminal(0.99));
        let mut state = start();
        walk(&mut state, &[1, 5]);
        assert_eq!(state.carried(), None, "the chest is closed");
        walk(&mut state, &[9, 5]);
        assert_eq!(state.carried(), Some(1));
    }

    #[test]
    fn one_object_is_carried_at_a_time() {
        let mut state = start();
        walk(&mut state, &[7, 1, 4]);
        assert_eq!(
            (state.carried(), state.objects[0]),
            (Some(3), Place::Room(1))
        );
        walk(&mut state, &[8, 4]);
        assert_eq!(
            (state.carried(), state.objects[3]),
            (Some(0), Place::Room(1))
        );
    }

    #[test]
    fn without_a_way_one_stays() {
        let mut state = start();
        walk(&mut state, &[0, 3]);
        assert_eq!(state.room, 0);
        walk(&mut state, &[2, 1, 1, 1, 2]);
        assert_eq!(state.room, 5);
    }

    #[test]
    fn goals_differ_and_none_is_reached_at_the_start() {
        let env = world(Paraphrases::Train);
        let rng = &mut rng();
        let mut goals = std::collections::HashSet::new();
        for _ in 0..2000 {
            let state = env.reset(rng);
            assert!(!state.is_done());
            goals.insert(format!("{:?}", state.goal));
        }
        assert_eq!(goals.len(), 6 + 4 + 4 * 6 + 1);
    }

    #[test]
    fn the_longest_row_holds_all_that_can_be_said() {
        let env = world(Paraphrases::All);
        let mut state = start();
        state.chest_open = true;
        state.room = 1;
        state.objects = [Place::Chest, Place::Chest, Place::Chest, Place::Room(1)];
        let rng = &mut rng();
        let mut longest = 0;
        for _ in 0..20_000 {
            (state.goal_wording, state.wording) = (rng.random(), rng.random());
            let mut tokens = vec![-1; env.max_len];
            env.observe(&state, &mut tokens);
            let len = tokens.iter().take_while(|&&token| token != 0).count();
            assert_eq!(
                tokens[len - 1],
                env.phrases
                    .vocabulary
                    .iter()
                    .position(|w| w == ".")
                    .unwrap() as i32
            );
            longest = longest.max(len);
        }
        assert!(longest <= env.max_len, "{longest} of {}", env.max_len);
        assert_eq!(
            (env.max_len, env.phrases.vocabulary.len()),
            (95, 97),
            "the page says so"
        );
    }

    #[test]
    fn numbers_of_an_untrusted_state_name_no_word_that_is_none() {
        let env = world(Paraphrases::Train);
        for n in [6, 200, 255] {
            let mut state = TextWorldState {
                room: n,
                objects: [Place::Room(n); 4],
                chest_room: n,
                chest_open: true,
                goal: Goal::Bring(n, n),
                told: Place::Room(n),
                ..start()
            };
            env.observe(&state, &mut vec![0; env.max_len]);
            env.draw(&state).unwrap();
            for action in 0..10 {
                env.step(&mut state, action, &mut rng());
            }
        }
    }

    #[test]
    fn the_pages_figures_hold() {
        let env = world(Paraphrases::Train);
        Score::of_random(&env, 5000).agrees_with(0.038, 0.009);
        Score::of(&env, 5000, |state, _| oracle(state)).agrees_with(0.9708, 0.00023);
    }

    #[test]
    fn a_cost_that_is_none_is_refused() {
        let config = TextWorldConfig {
            step_cost: -1.0,
            ..Default::default()
        };
        let error = TextWorld::new(&config).unwrap_err().to_string();
        assert_eq!(error, "step_cost: -1 is out of range; give 0 to 1");
    }
}
