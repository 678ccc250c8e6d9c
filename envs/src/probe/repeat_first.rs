use serde::{Deserialize, Serialize};
use thorndike_core::{Env, Picture, Result, Rng, Space, Step, check_range};

use super::cards::{Deck, MAX_DECKS, PACK, SUITS, draw_card, sign};

/// `repeat-first`: name the suit of the first card over and over. Tests whether one thing is kept for long.
///
/// **Action space**: `discrete(4)`.
///
/// | action | meaning |
/// |---|---|
/// | 0, 1, 2, 3 | says that the first card was of spades, diamonds, clubs, hearts |
///
/// **Observation space**: `discrete(4)`.
///
/// | index | meaning | unit | range |
/// |---|---|---|---|
/// | 0 | suit of the newest card, numbered as the actions | – | 0 to 3 |
///
/// **Reward**: `1 / (n - 1)` for the suit of the first card, `-1 / (n - 1)` for another one, with `n` cards in the
/// deck. The best return is 1; random actions have -0.5 on average.
///
/// **Start**: one card of a shuffled deck is open.
///
/// **End**: terminated with the last card, after `n - 1` steps. No time limit.
///
/// **Config**: [`RepeatFirstConfig`].
///
/// # Reference
/// Morad et al., *POPGym: Benchmarking Partially Observable Reinforcement Learning*, 2023, "Repeat First"; POPGym,
/// `envs/repeat_first.py`. Its easy, medium and hard versions have 1, 8 and 16 decks.
///
/// Deviations: suits are drawn from what is left of the deck, which gives them the same distribution.
#[derive(Clone, Debug)]
pub struct RepeatFirst {
    num_decks: u32,
    reward: f32,
}

/// Configuration of [`RepeatFirst`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RepeatFirstConfig {
    /// Packs of 52 cards in the deck, 1 to 1000.
    pub num_decks: u32,
}

impl Default for RepeatFirstConfig {
    fn default() -> Self {
        Self { num_decks: 1 }
    }
}

/// State of [`RepeatFirst`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepeatFirstState {
    /// What has not been dealt.
    pub deck: Deck,
    /// Cards dealt.
    pub dealt: u32,
    /// Suit of the first card.
    pub first: u8,
    /// Suit of the newest card.
    pub newest: u8,
}

impl RepeatFirst {
    /// # Errors
    /// [`Error::Config`](thorndike_core::Error::Config) if the number of decks is out of range.
    pub fn new(config: &RepeatFirstConfig) -> Result<Self> {
        check_range("num_decks", config.num_decks, 1..=MAX_DECKS)?;
        Ok(Self {
            num_decks: config.num_decks,
            reward: (1.0 / f64::from(config.num_decks * PACK - 1)) as f32,
        })
    }

    /// The start with a first card of `suit`.
    pub fn start_with(&self, suit: u8) -> RepeatFirstState {
        let mut deck = Deck::new(self.num_decks);
        let first = deck.take(suit);
        RepeatFirstState {
            deck,
            dealt: 1,
            first,
            newest: first,
        }
    }

    /// The step by `action` after which the newest card is of `suit`.
    pub fn step_with(&self, state: &mut RepeatFirstState, action: usize, suit: u8) -> Step {
        state.newest = state.deck.take(suit);
        self.score(state, action)
    }

    fn score(&self, state: &mut RepeatFirstState, action: usize) -> Step {
        state.dealt = state.dealt.saturating_add(1);
        let reward = if action == usize::from(state.first) {
            self.reward
        } else {
            -self.reward
        };
        Step::terminal_if(state.dealt >= self.num_decks * PACK, reward)
    }
}

impl Env for RepeatFirst {
    type State = RepeatFirstState;
    type Obs = i32;
    type Action = usize;

    fn observation_space(&self) -> Space {
        Space::Discrete(4)
    }
    fn action_space(&self) -> Space {
        Space::Discrete(4)
    }
    fn action_names(&self) -> &'static [&'static str] {
        &SUITS
    }

    fn reset(&self, rng: &mut Rng) -> RepeatFirstState {
        self.start_with(Deck::new(self.num_decks).deal(rng))
    }
    fn step(&self, state: &mut RepeatFirstState, action: usize, rng: &mut Rng) -> Step {
        state.newest = state.deck.deal(rng);
        self.score(state, action)
    }
    fn observe(&self, state: &RepeatFirstState, obs: &mut [i32]) {
        obs[0] = i32::from(state.newest);
    }

    fn reference(&self) -> &'static str {
        "POPGym RepeatFirst"
    }
    fn render(&self, state: &RepeatFirstState) -> Option<String> {
        Some(format!(
            "card {} of {}: {}\n",
            state.dealt,
            self.num_decks * PACK,
            sign(state.newest)
        ))
    }
    fn draw(&self, state: &RepeatFirstState) -> Option<Picture> {
        let progress = f64::from(state.dealt) / f64::from(self.num_decks * PACK);
        Some(draw_card(Some(state.newest), progress))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::Score;
    use thorndike_core::check_env;

    fn env(num_decks: u32) -> RepeatFirst {
        RepeatFirst::new(&RepeatFirstConfig { num_decks }).unwrap()
    }

    #[test]
    fn conforms() {
        assert_eq!(check_env(env(1)), Ok(()));
        assert_eq!(check_env(env(16)), Ok(()));
    }

    #[test]
    fn the_first_card_is_right_whatever_came_since() {
        let env = env(1);
        let mut state = env.start_with(2);
        assert_eq!(env.step_with(&mut state, 2, 0), Step::running(1.0 / 51.0));
        assert_eq!(env.step_with(&mut state, 0, 1), Step::running(-1.0 / 51.0));
        assert_eq!((state.first, state.newest), (2, 1));
    }

    #[test]
    fn the_best_return_is_one_and_the_random_one_minus_a_half() {
        let best = Score::of(&env(1), 100, |state, _| usize::from(state.first));
        best.agrees_with(1.0, 0.0);
        // 51 guesses of 1 or -1, each of standard deviation sqrt(3) / 2, over 4000 episodes.
        let error = (0.75 / (51.0 * 4000.0_f64)).sqrt();
        Score::of_random(&env(1), 4000).agrees_with(-0.5, error);
    }

    #[test]
    fn no_deck_is_refused() {
        let error = RepeatFirst::new(&RepeatFirstConfig { num_decks: 0 }).unwrap_err();
        assert_eq!(
            error.to_string(),
            "num_decks: 0 is out of range; give 1 to 1000"
        );
    }
}
