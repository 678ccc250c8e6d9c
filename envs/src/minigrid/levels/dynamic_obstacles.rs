use thorndike_core::{Result, Rng, check_range};

use crate::minigrid::draft::find;
use crate::minigrid::grid::MAX_SIDE;
use crate::minigrid::{
    Action, Area, Cell, Color, Draft, Kind, Level, MiniGridState, Mission, Outcome, level,
};

/// Draws for an obstacle's next place; after them it stays.
const TRIES: u32 = 101;

level! {
    /// `minigrid-dynamic-obstacles`: reach the goal without running into balls that move.
    ///
    /// **Action space**: `discrete(3)`: left, right, forward; see [`MiniGrid`](crate::minigrid::MiniGrid).
    ///
    /// **Observation space**: see [`MiniGrid`](crate::minigrid::MiniGrid); nothing is hidden.
    ///
    /// **Mission**: "get to the green goal square".
    ///
    /// **Reward**: `1 - 0.9 * steps / max_steps` at the goal; -1 for going forward where, before the balls moved, a
    /// ball or a wall was. `max_steps` is `4 * size * size`.
    ///
    /// **Start**: the agent at the upper left, looking right, or with `random_start` anywhere, looking anywhere; the
    /// goal at the lower right; blue balls anywhere. Before each action every ball moves to an empty cell of the
    /// nine around it, if there is one.
    ///
    /// **End**: terminated at the goal and by running into something; truncated after `max_steps` steps.
    ///
    /// **Config**: `MiniGrid-Dynamic-Obstacles-8x8-v0` by default; `5x5` is `size = 5, num_obstacles = 2`, `6x6` is
    /// `size = 6, num_obstacles = 3`, `16x16` is `size = 16, num_obstacles = 8`; `Random-5x5` and `Random-6x6` by
    /// `random_start = true` beside it.
    ///
    /// # Reference
    /// `minigrid/envs/dynamicobstacles.py`. Deviations: see [`MiniGrid`](crate::minigrid::MiniGrid).
    DynamicObstacles {
        /// Cells of a side with its walls, 5 to 25.
        size: usize = 8,
        /// Balls, 1 to `size / 2 + 1`.
        num_obstacles: usize = 4,
        /// Whether the agent starts anywhere.
        random_start: bool = false,
    }
}

impl DynamicObstacles {
    fn move_obstacles(&self, state: &mut MiniGridState, rng: &mut Rng) {
        for i in 0..self.num_obstacles {
            let [x, y] = state.places[i];
            let around = [x.saturating_sub(1).max(0), y.saturating_sub(1).max(0)];
            let around = Area::new(around, [3, 3]);
            if let Some(next) = find(state, rng, around, TRIES, |_, _| true) {
                let obstacle = Cell::new(Kind::Ball, Color::Blue);
                state.grid.set(next, obstacle);
                state.grid.set([x, y], Cell::EMPTY);
                state.places[i] = next;
            }
        }
    }
}

impl Level for DynamicObstacles {
    fn reference(&self) -> &'static str {
        "MiniGrid-Dynamic-Obstacles"
    }
    fn check(&self) -> Result<()> {
        check_range("size", self.size, 5..=MAX_SIDE)?;
        check_range("num_obstacles", self.num_obstacles, 1..=self.size / 2 + 1)
    }
    fn size(&self) -> [usize; 2] {
        [self.size; 2]
    }
    fn max_steps(&self) -> u32 {
        4 * self.size.pow(2) as u32
    }
    fn sees_through_walls(&self) -> bool {
        true
    }
    fn num_actions(&self) -> usize {
        3
    }
    fn lay_out(&self, draft: &mut Draft<'_>) -> Option<()> {
        const MISSION: Mission = Mission::new("get to the green goal square");
        draft.say(MISSION);
        let inside = draft.wall_in();
        draft.state.grid.set([self.size as i8 - 2; 2], Cell::GOAL);
        draft.state.position = [1, 1];
        if self.random_start {
            draft.place_agent(inside)?;
        }
        for i in 0..self.num_obstacles {
            let obstacle = Cell::new(Kind::Ball, Color::Blue);
            draft.state.places[i] = draft.place(obstacle, inside, |_, _| true)?;
        }
        Some(())
    }
    fn step(&self, state: &mut MiniGridState, action: Action, rng: &mut Rng) -> Outcome {
        let ahead = state.grid.get(state.ahead());
        let blocked = !ahead.is_empty() && ahead.kind() != Kind::Goal;
        self.move_obstacles(state, rng);
        let outcome = state.act(action);
        if action == Action::Forward && blocked {
            return Outcome::Collision;
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thorndike_core::{Env, Seeds, Step};

    use crate::minigrid::state::distances;
    use crate::minigrid::{Grid, MiniGrid};

    #[test]
    fn walls_and_balls_ahead_cost_one_even_if_the_ball_moves_away() {
        let level = DynamicObstacles {
            num_obstacles: 1,
            ..Default::default()
        };
        let env = MiniGrid::new(&level).unwrap();
        let mut rng = Seeds::new(0).stream("test", 0);
        for ahead in [Cell::WALL, Cell::new(Kind::Ball, Color::Blue)] {
            let mut state = MiniGridState::new(Grid::empty([8, 8]));
            state.grid.set([2, 1], ahead);
            state.places[0] = if ahead == Cell::WALL { [5, 5] } else { [2, 1] };
            assert_eq!(env.step(&mut state, 2, &mut rng), Step::terminal(-1.0));
        }
    }

    #[test]
    fn balls_stay_as_many_as_they_were_and_move_by_one_cell() {
        let level = DynamicObstacles::default();
        let env = MiniGrid::new(&level).unwrap();
        let mut rng = Seeds::new(0).stream("test", 0);
        let mut state = env.reset(&mut rng);
        for _ in 0..500 {
            let before = state.places;
            env.step(&mut state, 0, &mut rng);
            for (&before, &after) in before.iter().zip(&state.places).take(4) {
                let [dx, dy] = distances(before, after);
                assert!(dx <= 1 && dy <= 1 && dx + dy > 0);
                assert_eq!(state.grid.get(after).kind(), Kind::Ball);
            }
            let balls = state.grid.cells().iter().filter(|c| c.kind() == Kind::Ball);
            assert_eq!(balls.count(), 4);
        }
    }
}
