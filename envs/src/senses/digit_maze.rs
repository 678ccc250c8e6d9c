use rand::RngExt;
use serde::{Deserialize, Serialize};
use thorndike_core::{Env, Error, Picture, Result, Rng, Space, Step, check_range};

use super::Split;
use super::images::{ImageSource, Images, PIXELS, SIDE};
use super::raster::Frame;

/// The largest grid.
const MAX_SIZE: usize = 8;
/// How the outside of the grid looks.
const WALL: u8 = 128;
/// Row and column of each move.
const MOVES: [[isize; 2]; 4] = [[-1, 0], [0, 1], [1, 0], [0, -1]];

/// `digit-maze`: find the cell with a picture of one class and keep off the cells with pictures of another. Tests
/// whether an agent recognises images, since nothing but them says what a cell is.
///
/// **Action space**: `discrete(4)`.
///
/// | action | meaning |
/// |---|---|
/// | 0, 1, 2, 3 | move north, east, south, west; at the edge of the grid: stay |
///
/// **Observation space**: box of `9 x 28 x 28` `u8`, 0 to 255, with `view = "neighbours"`; of `1 x 28 x 28` with
/// `view = "cell"`.
///
/// | index | meaning | unit | range |
/// |---|---|---|---|
/// | `(plane * 28 + row) * 28 + column` | plane 4 (or the only one) is the picture of the agent's own cell, the others those of the cells around it, row by row; 128 all over outside the grid | grey | 0 to 255 |
///
/// Each picture is a plane of its own, so that an extractor trained on single pictures can read them one by one.
/// Labels decide what a cell is and are never shown. In a grid of 3 x 3 all is seen from the middle, and the walls
/// say where the agent is: what is seen is enough to choose well. In a larger grid, and with `view = "cell"`, an
/// agent has to search and to remember.
///
/// **Reward**: 1 for reaching the goal; otherwise `-step_cost`, and `-trap_cost` more if the step ends on a trap.
/// At the defaults random actions have a mean return of -1.01 ± 0.037 (5000 episodes), an oracle that knows the
/// classes 0.9750 ± 0.0012 (5000 episodes). A walk to the nearest cell not yet entered, without looking, has
/// 0.459 ± 0.006 (5000 episodes): the rest is for seeing.
///
/// **Start**: cells of agent, goal and traps drawn without repetition; a picture drawn for each cell, of
/// `goal_class`, `trap_class`, or any other class.
///
/// **End**: terminated on the goal; truncated after `20 * size` steps.
///
/// **Config**: [`DigitMazeConfig`], for instance `images = { folder = "data/fashion-mnist" }`. Evaluate with
/// `split = "held-back"`: pictures that were not trained with.
///
/// # Reference
/// Our own. Pictures: files in the IDX format, such as MNIST (LeCun, Cortes and Burges, *The MNIST database of
/// handwritten digits*) and Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017), or generated digits.
#[derive(Clone, Debug)]
pub struct DigitMaze {
    config: DigitMazeConfig,
    images: Images,
    /// Images of the goal's class, the traps' class, and of all others.
    goals: Vec<u32>,
    traps: Vec<u32>,
    others: Vec<u32>,
}

/// Configuration of [`DigitMaze`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DigitMazeConfig {
    /// Where the pictures come from.
    pub images: ImageSource,
    /// Which part of them is shown.
    pub split: Split,
    /// What is seen.
    pub view: View,
    /// Rows and columns, 2 to 8.
    pub size: usize,
    /// Class of the goal.
    pub goal_class: u8,
    /// Class of the traps.
    pub trap_class: u8,
    /// Number of traps, 0 to `size * size - 2`.
    pub num_traps: usize,
    /// Cost of a step, 0 to 1.
    pub step_cost: f32,
    /// Cost of a step onto a trap, 0 to 10.
    pub trap_cost: f32,
    /// The same seed generates the same pictures.
    pub image_seed: u64,
}

impl Default for DigitMazeConfig {
    fn default() -> Self {
        Self {
            images: ImageSource::Generated,
            split: Split::Train,
            view: View::Neighbours,
            size: 3,
            goal_class: 7,
            trap_class: 3,
            num_traps: 2,
            step_cost: 0.01,
            trap_cost: 0.5,
            image_seed: 0,
        }
    }
}

/// What [`DigitMaze`] shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum View {
    /// The agent's cell and the eight around it.
    Neighbours,
    /// The agent's cell alone.
    Cell,
}

/// State of [`DigitMaze`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigitMazeState {
    /// Row of the agent.
    pub row: u8,
    /// Column of the agent.
    pub column: u8,
    /// Number of the image of each cell.
    pub cells: [[u32; MAX_SIZE]; MAX_SIZE],
}

impl DigitMaze {
    /// # Errors
    /// [`Error::Config`] if a number is out of range, the images cannot be had, or a class has none.
    pub fn new(config: &DigitMazeConfig) -> Result<Self> {
        check_range("size", config.size, 2..=MAX_SIZE)?;
        let cells = config.size * config.size;
        check_range("num_traps", config.num_traps, 0..=cells - 2)?;
        check_range("step_cost", config.step_cost, 0.0..=1.0)?;
        check_range("trap_cost", config.trap_cost, 0.0..=10.0)?;
        if config.goal_class == config.trap_class {
            let what = format!("{} is also the goal_class; give another", config.trap_class);
            return Err(Error::config("trap_class", what));
        }
        let images = Images::of(&config.images, config.split, config.image_seed)?;
        let of = |wanted: &dyn Fn(u8) -> bool| -> Vec<u32> {
            let labels = images.labels().iter().zip(0..);
            labels
                .filter(|&(&label, _)| wanted(label))
                .map(|(_, i)| i)
                .collect()
        };
        let (goal, trap) = (config.goal_class, config.trap_class);
        let env = Self {
            goals: of(&|label| label == goal),
            traps: of(&|label| label == trap),
            others: of(&|label| label != goal && label != trap),
            config: config.clone(),
            images,
        };
        let missing = |key, class| Err(Error::config(key, format!("there is no image of {class}")));
        match [&env.goals, &env.traps, &env.others].map(|images| images.is_empty()) {
            [true, ..] => missing("goal_class", format!("class {goal}")),
            [_, true, _] => missing("trap_class", format!("class {trap}")),
            [.., true] => missing("images", "any third class".to_owned()),
            _ => Ok(env),
        }
    }

    /// The class of the picture in cell (`row`, `column`), which agents do not see.
    pub fn class(&self, state: &DigitMazeState, row: usize, column: usize) -> Option<u8> {
        let image = *state.cells.get(row)?.get(column)?;
        self.images.labels().get(image as usize).copied()
    }

    fn frame(&self) -> Frame {
        Frame {
            width: SIDE * self.config.size,
            height: SIDE * self.config.size,
        }
    }
}

impl Env for DigitMaze {
    type State = DigitMazeState;
    type Obs = u8;
    type Action = usize;

    fn observation_space(&self) -> Space {
        let planes = match self.config.view {
            View::Neighbours => 9,
            View::Cell => 1,
        };
        Space::Box {
            shape: vec![planes, SIDE, SIDE],
            low: 0.0,
            high: 255.0,
        }
    }
    fn action_space(&self) -> Space {
        Space::Discrete(4)
    }
    fn action_names(&self) -> &'static [&'static str] {
        &["north", "east", "south", "west"]
    }
    fn time_limit(&self) -> Option<u32> {
        Some(20 * self.config.size as u32)
    }

    fn reset(&self, rng: &mut Rng) -> DigitMazeState {
        let size = self.config.size;
        let mut cells = [[0; MAX_SIZE]; MAX_SIZE];
        for row in &mut cells[..size] {
            for cell in &mut row[..size] {
                *cell = pick(&self.others, rng);
            }
        }
        // The first places of a shuffle: agent, goal, traps.
        let mut places: [u8; MAX_SIZE * MAX_SIZE] = std::array::from_fn(|i| i as u8);
        let mut place = |i: usize, rng: &mut Rng| {
            places.swap(i, rng.random_range(i..size * size));
            let place = usize::from(places[i]);
            (place / size, place % size)
        };
        let (row, column) = place(0, rng);
        for i in 1..2 + self.config.num_traps {
            let (row, column) = place(i, rng);
            let images = if i == 1 { &self.goals } else { &self.traps };
            cells[row][column] = pick(images, rng);
        }
        DigitMazeState {
            row: row as u8,
            column: column as u8,
            cells,
        }
    }

    fn step(&self, state: &mut DigitMazeState, action: usize, _: &mut Rng) -> Step {
        let last = self.config.size as isize - 1;
        let moved = |at: u8, by: isize| (isize::from(at) + by).clamp(0, last) as u8;
        state.row = moved(state.row, MOVES[action][0]);
        state.column = moved(state.column, MOVES[action][1]);
        let config = &self.config;
        match self.class(state, state.row.into(), state.column.into()) {
            Some(class) if class == config.goal_class => Step::terminal(1.0),
            Some(class) if class == config.trap_class => {
                Step::running(-config.step_cost - config.trap_cost)
            }
            _ => Step::running(-config.step_cost),
        }
    }

    fn observe(&self, state: &DigitMazeState, obs: &mut [u8]) {
        let size = self.config.size;
        let image = |row: usize, column: usize| {
            (row < size && column < size)
                .then(|| self.images.image(state.cells[row][column] as usize))
        };
        let at = [usize::from(state.row), usize::from(state.column)];
        let planes = obs.len() / PIXELS;
        for (i, plane) in obs.chunks_exact_mut(PIXELS).enumerate() {
            let [down, right] = if planes == 1 { [1, 1] } else { [i / 3, i % 3] };
            // Left of the first column is no column.
            let [row, column] = [
                (at[0] + down).wrapping_sub(1),
                (at[1] + right).wrapping_sub(1),
            ];
            match image(row, column) {
                Some(image) => plane.copy_from_slice(image),
                None => plane.fill(WALL),
            }
        }
    }

    fn reference(&self) -> &'static str {
        "Thorndike"
    }
    fn render(&self, state: &DigitMazeState) -> Option<String> {
        let mut text = String::new();
        for row in 0..self.config.size {
            for column in 0..self.config.size {
                let here = [row, column] == [usize::from(state.row), usize::from(state.column)];
                let class = self.class(state, row, column);
                let class = class.map_or("?".to_owned(), |class| class.to_string());
                let mark = if here { ['[', ']'] } else { [' ', ' '] };
                text.push_str(&format!("{}{class}{}", mark[0], mark[1]));
            }
            text.push('\n');
        }
        Some(text)
    }

    fn draw(&self, state: &DigitMazeState) -> Option<Picture> {
        let frame = self.frame();
        let mut pixels = vec![0; frame.width * frame.height];
        for (at, pixel) in pixels.iter_mut().enumerate() {
            let (y, x) = (at / frame.width, at % frame.width);
            let image = self.images.image(state.cells[y / SIDE][x / SIDE] as usize);
            *pixel = image[y % SIDE * SIDE + x % SIDE];
        }
        let mut planes = pixels.repeat(3);
        // The agent's cell has a frame in orange.
        let [top, left] = [state.row, state.column].map(|at| usize::from(at) * SIDE);
        for at in 0..pixels.len() {
            let (y, x) = (
                (at / frame.width).wrapping_sub(top),
                (at % frame.width).wrapping_sub(left),
            );
            let (last, edge) = (SIDE - 1, |i: usize| i == 0 || i == SIDE - 1);
            if y <= last && x <= last && (edge(y) || edge(x)) {
                for (plane, ink) in crate::canvas::colors::ORANGE.into_iter().enumerate() {
                    planes[plane * pixels.len() + at] = ink;
                }
            }
        }
        let picture = frame.picture(&planes);
        Some(picture.enlarged((320 / picture.width).max(1)))
    }
}

fn pick(images: &[u32], rng: &mut Rng) -> u32 {
    images[rng.random_range(0..images.len())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::Score;
    use crate::senses::images::tests::{Folder, fashion_mnist, idx};
    use thorndike_core::{Seeds, check_env};

    fn maze(config: DigitMazeConfig) -> DigitMaze {
        DigitMaze::new(&config).unwrap()
    }

    fn rng() -> Rng {
        Seeds::new(0).stream("test", 0)
    }

    /// The best action by value iteration over the cells, without a limit in time.
    fn oracle(env: &DigitMaze, state: &DigitMazeState) -> usize {
        let size = env.config.size;
        let mut rng = rng();
        let mut look = *state;
        let mut values = [[0.0_f32; MAX_SIZE]; MAX_SIZE];
        let mut best = |values: &[[f32; MAX_SIZE]; MAX_SIZE], row: u8, column: u8| {
            let worths = [0, 1, 2, 3].map(|action| {
                (look.row, look.column) = (row, column);
                let step = env.step(&mut look, action, &mut rng);
                let after = values[usize::from(look.row)][usize::from(look.column)];
                step.reward + if step.status.is_over() { 0.0 } else { after }
            });
            let best = (0..4).max_by(|&a, &b| worths[a].total_cmp(&worths[b]));
            (best.unwrap(), worths[best.unwrap()])
        };
        // No way that is worth going is longer than there are cells.
        for _ in 0..size * size {
            let old = values;
            for i in 0..size * size {
                let (row, column) = (i / size, i % size);
                values[row][column] = best(&old, row as u8, column as u8).1;
            }
        }
        best(&values, state.row, state.column).0
    }

    #[test]
    fn conforms() {
        assert_eq!(check_env(maze(DigitMazeConfig::default())), Ok(()));
        let large = DigitMazeConfig {
            size: 8,
            view: View::Cell,
            num_traps: 62,
            split: Split::HeldBack,
            ..Default::default()
        };
        assert_eq!(check_env(maze(large)), Ok(()));
    }

    #[test]
    fn there_is_one_goal_and_as_many_traps_as_asked_and_the_agent_is_on_neither() {
        let env = maze(DigitMazeConfig {
            size: 4,
            num_traps: 5,
            ..Default::default()
        });
        let mut rng = rng();
        for _ in 0..200 {
            let state = env.reset(&mut rng);
            let count = |class| {
                let cells = (0..16).map(|i| env.class(&state, i / 4, i % 4));
                cells.filter(|&c| c == Some(class)).count()
            };
            assert_eq!((count(7), count(3)), (1, 5));
            let own = env
                .class(&state, state.row.into(), state.column.into())
                .unwrap();
            assert!(own != 7 && own != 3);
        }
    }

    #[test]
    fn goal_trap_and_wall_do_what_the_page_says() {
        let env = maze(DigitMazeConfig::default());
        let mut state = env.reset(&mut rng());
        (state.row, state.column) = (0, 0);
        state.cells[0][0] = env.others[0];
        state.cells[0][1] = env.traps[0];
        state.cells[1][1] = env.goals[0];
        let steps = [0, 3, 1, 2].map(|action| env.step(&mut state, action, &mut rng()));
        let stayed = Step::running(-0.01);
        assert_eq!(
            steps,
            [stayed, stayed, Step::running(-0.51), Step::terminal(1.0)]
        );
    }

    #[test]
    fn the_planes_are_the_cells_around_the_agent() {
        let env = maze(DigitMazeConfig::default());
        let mut state = env.reset(&mut rng());
        (state.row, state.column) = (0, 1);
        let mut obs = vec![7; 9 * PIXELS];
        env.observe(&state, &mut obs);
        let plane = |i: usize| &obs[i * PIXELS..][..PIXELS];
        assert!(obs[..3 * PIXELS].iter().all(|&pixel| pixel == WALL));
        assert_eq!(plane(4), env.images.image(state.cells[0][1] as usize));
        assert_eq!(plane(5), env.images.image(state.cells[0][2] as usize));
        assert_eq!(plane(6), env.images.image(state.cells[1][0] as usize));
    }

    #[test]
    fn labels_are_not_seen() {
        let env = maze(DigitMazeConfig::default());
        let state = env.reset(&mut rng());
        let mut relabelled = env.clone();
        let images = &env.images;
        let folder = Folder::new("maze-labels");
        let pixels: Vec<u8> = (0..images.labels().len())
            .flat_map(|i| images.image(i).to_vec())
            .collect();
        let n = images.labels().len() as u32;
        let other: Vec<u8> = images.labels().iter().map(|label| label ^ 1).collect();
        std::fs::write(folder.0.join("i"), idx(&[n, 28, 28], &pixels)).unwrap();
        std::fs::write(folder.0.join("l"), idx(&[n], &other)).unwrap();
        relabelled.images = Images::read(&folder.0.join("i"), &folder.0.join("l")).unwrap();
        assert_ne!(relabelled.class(&state, 0, 0), env.class(&state, 0, 0));
        let see = |env: &DigitMaze| {
            let mut obs = vec![7; 9 * PIXELS];
            env.observe(&state, &mut obs);
            obs
        };
        assert_eq!(see(&env), see(&relabelled));
    }

    #[test]
    fn places_of_an_untrusted_state_are_no_place_outside_the_grid() {
        let env = maze(DigitMazeConfig::default());
        let mut state = DigitMazeState {
            row: 255,
            column: 9,
            cells: [[u32::MAX; MAX_SIZE]; MAX_SIZE],
        };
        env.observe(&state, &mut vec![0; 9 * PIXELS]);
        env.draw(&state).unwrap();
        env.render(&state).unwrap();
        env.step(&mut state, 1, &mut rng());
        assert_eq!((state.row, state.column), (2, 2));
    }

    /// Goes to the nearest cell that it has not entered in this episode, whatever is there.
    #[derive(Default)]
    struct Blind {
        cells: [[u32; MAX_SIZE]; MAX_SIZE],
        entered: Vec<[u8; 2]>,
    }

    impl Blind {
        fn act(&mut self, size: u8, state: &DigitMazeState) -> usize {
            if self.cells != state.cells {
                self.cells = state.cells;
                self.entered.clear();
            }
            self.entered.push([state.row, state.column]);
            let places = (0..size).flat_map(|row| (0..size).map(move |column| [row, column]));
            let new = places.filter(|place| !self.entered.contains(place));
            let away =
                |place: &[u8; 2]| place[0].abs_diff(state.row) + place[1].abs_diff(state.column);
            match new.min_by_key(away).unwrap() {
                [row, _] if row < state.row => 0,
                [row, _] if row > state.row => 2,
                [_, column] if column > state.column => 1,
                _ => 3,
            }
        }
    }

    #[test]
    fn the_pages_figures_hold() {
        let env = maze(DigitMazeConfig::default());
        let mut blind = Blind::default();
        Score::of(&env, 5000, |state, _| blind.act(3, state)).agrees_with(0.459, 0.0063);
        Score::of_random(&env, 5000).agrees_with(-1.01, 0.037);
        Score::of(&env, 5000, |state, _| oracle(&env, state)).agrees_with(0.9750, 0.0012);
    }

    #[test]
    fn real_images_make_the_same_maze() {
        let Some(folder) = fashion_mnist() else {
            return;
        };
        for split in [Split::Train, Split::HeldBack] {
            let env = maze(DigitMazeConfig {
                images: ImageSource::Folder(folder.clone()),
                split,
                ..Default::default()
            });
            assert_eq!(check_env(env.clone()), Ok(()));
            // Who knows the classes has the same return whatever the pictures.
            let oracle = Score::of(&env, 1000, |state, _| oracle(&env, state));
            assert!(
                (oracle.mean - 0.975).abs() < 4.0 * oracle.error,
                "{oracle:?}"
            );
        }
    }

    #[test]
    fn classes_without_images_are_refused() {
        let refused = |goal_class, trap_class| {
            let config = DigitMazeConfig {
                goal_class,
                trap_class,
                ..Default::default()
            };
            DigitMaze::new(&config).unwrap_err().to_string()
        };
        assert_eq!(refused(10, 3), "goal_class: there is no image of class 10");
        assert_eq!(refused(3, 12), "trap_class: there is no image of class 12");
        assert_eq!(
            refused(3, 3),
            "trap_class: 3 is also the goal_class; give another"
        );
    }
}
