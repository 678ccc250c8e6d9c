use serde::{Deserialize, Serialize};
use thorndike_core::{Env, Picture, Result, Rng, Space, Step, check_range};

use super::cards::{Deck, MAX_DECKS, PACK, SUITS, draw_card, sign};

/// `repeat-previous`: name the suit of the card dealt some steps ago. Tests whether an agent keeps a list and
/// forgets what has had its time.
///
/// **Action space**: `discrete(4)`.
///
/// | action | meaning |
/// |---|---|
/// | 0, 1, 2, 3 | says that the card asked for was of spades, diamonds, clubs, hearts |
///
/// **Observation space**: `discrete(4)`.
///
/// | index | meaning | unit | range |
/// |---|---|---|---|
/// | 0 | suit of the newest card, numbered as the actions | – | 0 to 3 |
///
/// **Reward**: with `n` cards in the deck, `1 / (n - k)` for the suit of the card `k - 1` before the one that is
/// seen, `-1 / (n - k)` for another; 0 until `k` cards are out. The best return is 1; random actions have -0.5 on
/// average.
///
/// **Start**: one card of a shuffled deck is open.
///
/// **End**: terminated with the last card, after `n - 1` steps. No time limit.
///
/// **Config**: [`RepeatPreviousConfig`].
///
/// # Reference
/// Morad et al., *POPGym: Benchmarking Partially Observable Reinforcement Learning*, 2023, "Repeat Previous";
/// POPGym, `envs/repeat_previous.py`. Its easy, medium and hard versions have 1, 2 and 3 decks and a `k` of 4, 32
/// and 64.
///
/// Deviations: suits are drawn from what is left of the deck, which gives them the same distribution.
#[derive(Clone, Debug)]
pub struct RepeatPrevious {
    config: RepeatPreviousConfig,
    reward: f32,
}

/// Configuration of [`RepeatPrevious`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RepeatPreviousConfig {
    /// Packs of 52 cards in the deck, 1 to 1000.
    pub num_decks: u32,
    /// Number of the card asked for, counted back from the newest one, which is 1; 1 to 64, and less than there
    /// are cards.
    pub k: u32,
}

impl Default for RepeatPreviousConfig {
    fn default() -> Self {
        Self { num_decks: 1, k: 4 }
    }
}

/// State of [`RepeatPrevious`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepeatPreviousState {
    /// What has not been dealt.
    pub deck: Deck,
    /// Cards dealt.
    pub dealt: u32,
    /// Suits of the last 64 cards, two bits each, the newest one lowest.
    pub history: u128,
}

impl RepeatPreviousState {
    /// The suit of card `k` of 1 to 64, counted back from the newest one, which is 1.
    pub fn suit(&self, k: u32) -> u8 {
        (self.history >> (2 * (k.clamp(1, 64) - 1)) & 3) as u8
    }
}

impl RepeatPrevious {
    /// # Errors
    /// [`Error::Config`](thorndike_core::Error::Config) if a number is out of range.
    pub fn new(config: &RepeatPreviousConfig) -> Result<Self> {
        check_range("num_decks", config.num_decks, 1..=MAX_DECKS)?;
        let cards = config.num_decks * PACK;
        check_range("k", config.k, 1..=64.min(cards - 1))?;
        Ok(Self {
            config: config.clone(),
            reward: (1.0 / f64::from(cards - config.k)) as f32,
        })
    }

    /// The start with a first card of `suit`.
    pub fn start_with(&self, suit: u8) -> RepeatPreviousState {
        let mut deck = Deck::new(self.config.num_decks);
        RepeatPreviousState {
            history: deck.take(suit).into(),
            deck,
            dealt: 1,
        }
    }

    /// The step by `action` after which the newest card is of `suit`.
    pub fn step_with(&self, state: &mut RepeatPreviousState, action: usize, suit: u8) -> Step {
        let suit = state.deck.take(suit);
        self.score(state, action, suit)
    }

    fn score(&self, state: &mut RepeatPreviousState, action: usize, suit: u8) -> Step {
        let reward = if state.dealt < self.config.k {
            0.0
        } else if action == usize::from(state.suit(self.config.k)) {
            self.reward
        } else {
            -self.reward
        };
        state.history = state.history << 2 | u128::from(suit);
        state.dealt = state.dealt.saturating_add(1);
        Step::terminal_if(state.dealt >= self.config.num_decks * PACK, reward)
    }
}

impl Env for RepeatPrevious {
    type State = RepeatPreviousState;
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

    fn reset(&self, rng: &mut Rng) -> RepeatPreviousState {
        self.start_with(Deck::new(self.config.num_decks).deal(rng))
    }
    fn step(&self, state: &mut RepeatPreviousState, action: usize, rng: &mut Rng) -> Step {
        let suit = state.deck.deal(rng);
        self.score(state, action, suit)
    }
    fn observe(&self, state: &RepeatPreviousState, obs: &mut [i32]) {
        obs[0] = state.suit(1).into();
    }

    fn reference(&self) -> &'static str {
        "POPGym RepeatPrevious"
    }
    fn render(&self, state: &RepeatPreviousState) -> Option<String> {
        Some(format!(
            "card {} of {}: {}; asks for the one {} back\n",
            state.dealt,
            self.config.num_decks * PACK,
            sign(state.suit(1)),
            self.config.k - 1
        ))
    }
    fn draw(&self, state: &RepeatPreviousState) -> Option<Picture> {
        let progress = f64::from(state.dealt) / f64::from(self.config.num_decks * PACK);
        Some(draw_card(Some(state.suit(1)), progress))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::Score;
    use thorndike_core::check_env;

    fn env(num_decks: u32, k: u32) -> RepeatPrevious {
        RepeatPrevious::new(&RepeatPreviousConfig { num_decks, k }).unwrap()
    }

    #[test]
    fn conforms() {
        for (num_decks, k) in [(1, 4), (2, 32), (3, 64), (1, 1)] {
            assert_eq!(check_env(env(num_decks, k)), Ok(()));
        }
    }

    #[test]
    fn nothing_is_asked_before_k_cards_are_out() {
        let env = env(1, 3);
        let mut state = env.start_with(2);
        assert_eq!(env.step_with(&mut state, 2, 1), Step::running(0.0));
        assert_eq!(env.step_with(&mut state, 2, 0), Step::running(0.0));
        let paid = 1.0 / 49.0;
        assert_eq!(env.step_with(&mut state, 2, 0), Step::running(paid));
        assert_eq!(env.step_with(&mut state, 2, 0), Step::running(-paid));
    }

    #[test]
    fn the_best_return_is_one_and_the_random_one_minus_a_half() {
        for (decks, k) in [(1, 4), (3, 64)] {
            let best = Score::of(&env(decks, k), 50, |state, _| state.suit(k).into());
            best.agrees_with(1.0, 0.0);
        }
        // 48 guesses of 1 or -1, each of standard deviation sqrt(3) / 2, over 4000 episodes.
        let error = (0.75 / (48.0 * 4000.0_f64)).sqrt();
        Score::of_random(&env(1, 4), 4000).agrees_with(-0.5, error);
    }

    #[test]
    fn a_card_that_never_comes_is_not_asked_for() {
        let refused = |k| RepeatPrevious::new(&RepeatPreviousConfig { num_decks: 1, k });
        let error = refused(52).unwrap_err().to_string();
        assert_eq!(error, "k: 52 is out of range; give 1 to 51");
        assert!(refused(0).is_err());
    }
}
