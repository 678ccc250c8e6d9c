use serde::{Deserialize, Serialize};
use thorndike_core::{Env, Picture, Result, Rng, Space, Step, check_range};

use super::cards::{Deck, PACK, SUITS, draw_card, sign};

/// Packs that a state has room for.
const MAX_DECKS: u32 = 16;
/// Cards in a word of the pile.
const WORD: u32 = 32;

/// `autoencode`: watch a deck being dealt, then name its suits from the last card back to the first. Tests how
/// much an agent remembers.
///
/// **Action space**: `discrete(4)`.
///
/// | action | meaning |
/// |---|---|
/// | 0, 1, 2, 3 | says that the card asked for was of spades, diamonds, clubs, hearts; heard while playing only |
///
/// **Observation space**: `multi-discrete(2, 4)`.
///
/// | index | meaning | unit | range |
/// |---|---|---|---|
/// | 0 | 1 while cards are still to be dealt (watch), 0 with the last card and after it (play) | – | 0 or 1 |
/// | 1 | suit of the newest card, numbered as the actions; 0 once all have been seen | – | 0 to 3 |
///
/// **Reward**: while playing, `1 / n` for the right suit and `-1 / n` for a wrong one, with `n` cards in the deck;
/// otherwise 0. The best return is 1; random actions have -0.5 on average.
///
/// **Start**: one card of a shuffled deck is open.
///
/// **End**: terminated when all cards have been asked for, after `2 n - 1` steps. No time limit.
///
/// **Config**: [`AutoencodeConfig`].
///
/// # Reference
/// Morad et al., *POPGym: Benchmarking Partially Observable Reinforcement Learning*, 2023, "Autoencode"; POPGym,
/// `envs/autoencode.py`. Its easy, medium and hard versions have 1, 2 and 3 decks.
///
/// Deviations: suits are drawn from what is left of the deck, which gives them the same distribution.
#[derive(Clone, Debug)]
pub struct Autoencode {
    num_decks: u32,
    reward: f32,
}

/// Configuration of [`Autoencode`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AutoencodeConfig {
    /// Packs of 52 cards in the deck, 1 to 16.
    pub num_decks: u32,
}

impl Default for AutoencodeConfig {
    fn default() -> Self {
        Self { num_decks: 1 }
    }
}

/// State of [`Autoencode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoencodeState {
    /// What has not been dealt.
    pub deck: Deck,
    /// Suits of the cards dealt, 32 a word, two bits each, the first one lowest.
    pub pile: [u64; (MAX_DECKS * PACK / WORD) as usize],
    /// Cards dealt.
    pub dealt: u32,
    /// Cards asked for.
    pub asked: u32,
}

impl AutoencodeState {
    /// The suit of card `i` in the order of dealing; 0 if there is no such card.
    fn suit(&self, i: u32) -> u8 {
        let word = self.pile.get((i / WORD) as usize);
        word.map_or(0, |word| (word >> (2 * (i % WORD)) & 3) as u8)
    }

    /// The suit that is asked for next.
    pub fn wanted(&self) -> u8 {
        self.suit(self.dealt.wrapping_sub(self.asked).wrapping_sub(1))
    }

    fn put(&mut self, suit: u8) {
        if let Some(word) = self.pile.get_mut((self.dealt / WORD) as usize) {
            *word |= u64::from(suit) << (2 * (self.dealt % WORD));
        }
        self.dealt = self.dealt.saturating_add(1);
    }
}

impl Autoencode {
    /// # Errors
    /// [`Error::Config`](thorndike_core::Error::Config) if the number of decks is out of range.
    pub fn new(config: &AutoencodeConfig) -> Result<Self> {
        check_range("num_decks", config.num_decks, 1..=MAX_DECKS)?;
        Ok(Self {
            num_decks: config.num_decks,
            reward: (1.0 / f64::from(config.num_decks * PACK)) as f32,
        })
    }

    fn cards(&self) -> u32 {
        self.num_decks * PACK
    }

    /// The start with a first card of `suit`.
    pub fn start_with(&self, suit: u8) -> AutoencodeState {
        let mut state = AutoencodeState {
            deck: Deck::new(self.num_decks),
            pile: [0; _],
            dealt: 0,
            asked: 0,
        };
        let suit = state.deck.take(suit);
        state.put(suit);
        state
    }

    /// The step by `action` in which a card of `suit` is dealt if there is one to deal.
    pub fn step_with(&self, state: &mut AutoencodeState, action: usize, suit: u8) -> Step {
        if state.dealt < self.cards() {
            let suit = state.deck.take(suit);
            state.put(suit);
            return Step::running(0.0);
        }
        let reward = if action == usize::from(state.wanted()) {
            self.reward
        } else {
            -self.reward
        };
        state.asked = state.asked.saturating_add(1);
        Step::terminal_if(state.asked >= self.cards(), reward)
    }
}

impl Env for Autoencode {
    type State = AutoencodeState;
    type Obs = i32;
    type Action = usize;

    fn observation_space(&self) -> Space {
        Space::MultiDiscrete(vec![2, 4])
    }
    fn action_space(&self) -> Space {
        Space::Discrete(4)
    }
    fn action_names(&self) -> &'static [&'static str] {
        &SUITS
    }

    fn reset(&self, rng: &mut Rng) -> AutoencodeState {
        self.start_with(Deck::new(self.num_decks).deal(rng))
    }
    fn step(&self, state: &mut AutoencodeState, action: usize, rng: &mut Rng) -> Step {
        let suit = if state.dealt < self.cards() {
            state.deck.clone().deal(rng)
        } else {
            0
        };
        self.step_with(state, action, suit)
    }
    fn observe(&self, state: &AutoencodeState, obs: &mut [i32]) {
        let seen = state.asked == 0;
        obs[0] = i32::from(state.dealt < self.cards());
        obs[1] = if seen { state.wanted().into() } else { 0 };
    }

    fn reference(&self) -> &'static str {
        "POPGym Autoencode"
    }
    fn render(&self, state: &AutoencodeState) -> Option<String> {
        Some(if state.asked == 0 {
            let card = sign(state.wanted());
            format!("watch: card {} of {}: {card}\n", state.dealt, self.cards())
        } else {
            let left = self.cards().saturating_sub(state.asked);
            format!("play: {left} cards to name\n")
        })
    }
    fn draw(&self, state: &AutoencodeState) -> Option<Picture> {
        let open = (state.asked == 0).then(|| state.wanted());
        let cards = f64::from(state.dealt) - f64::from(state.asked);
        Some(draw_card(open, cards / f64::from(self.cards())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::Score;
    use thorndike_core::{Seeds, check_env};

    fn env(num_decks: u32) -> Autoencode {
        Autoencode::new(&AutoencodeConfig { num_decks }).unwrap()
    }

    #[test]
    fn conforms() {
        assert_eq!(check_env(env(1)), Ok(()));
        assert_eq!(check_env(env(MAX_DECKS)), Ok(()));
    }

    #[test]
    fn cards_are_asked_for_from_the_last_to_the_first() {
        let env = env(1);
        let mut rng = Seeds::new(3).stream("test", 0);
        let mut state = env.reset(&mut rng);
        let mut seen = Vec::new();
        let mut obs = [9; 2];
        for _ in 0..51 {
            env.observe(&state, &mut obs);
            assert_eq!(obs[0], 1);
            seen.push(obs[1]);
            assert_eq!(env.step(&mut state, 0, &mut rng), Step::running(0.0));
        }
        env.observe(&state, &mut obs);
        assert_eq!(obs[0], 0, "with the last card the play begins");
        seen.push(obs[1]);
        for (left, &suit) in seen.iter().enumerate().rev() {
            let step = env.step(&mut state, suit as usize, &mut rng);
            assert_eq!(step.reward, 1.0 / 52.0);
            assert_eq!(step.status.is_over(), left == 0);
            env.observe(&state, &mut obs);
            assert_eq!(obs, [0, 0]);
        }
    }

    #[test]
    fn the_best_return_is_one_and_the_random_one_minus_a_half() {
        let best = Score::of(&env(3), 50, |state, _| state.wanted().into());
        best.agrees_with(1.0, 0.0);
        // 52 guesses of 1 or -1, each of standard deviation sqrt(3) / 2, over 4000 episodes.
        let error = (0.75 / (52.0 * 4000.0_f64)).sqrt();
        Score::of_random(&env(1), 4000).agrees_with(-0.5, error);
    }

    #[test]
    fn counts_of_an_untrusted_state_are_no_place_outside_the_pile() {
        let env = env(1);
        let mut rng = Seeds::new(0).stream("test", 0);
        for (dealt, asked) in [(u32::MAX, 0), (0, 0), (3, 70), (51, u32::MAX)] {
            let mut state = AutoencodeState {
                dealt,
                asked,
                ..env.start_with(0)
            };
            env.observe(&state, &mut [0; 2]);
            env.step(&mut state, 0, &mut rng);
            env.draw(&state).unwrap();
        }
    }

    #[test]
    fn too_many_decks_are_refused() {
        let error = Autoencode::new(&AutoencodeConfig { num_decks: 17 }).unwrap_err();
        assert_eq!(
            error.to_string(),
            "num_decks: 17 is out of range; give 1 to 16"
        );
    }
}
