use rand::RngExt;
use serde::{Deserialize, Serialize};
use thorndike_core::{Env, FiniteMdp, NumpyRng, Picture, Result, Rng, Space, Step};

use crate::canvas::{Canvas, Rgb, colors};

/// Values of the first number, of the second one and of the third one in an observation.
const SUMS: usize = 32;
const CARDS: usize = 11;
const ACES: usize = 3;
/// Kinds of cards in a suit, of which the last four count ten.
const KINDS: usize = 13;
const STICK: usize = 0;

/// `blackjack`: draw cards until their sum is close to 21 but not above, then see what the dealer gets.
///
/// Cards are drawn from an infinite deck. Ace counts 1, or 11 ("usable") where the sum then is 21 at most; faces count 10.
///
/// **Action space**: `discrete(2)`.
///
/// | action | meaning |
/// |---|---|
/// | 0 | stick: the dealer draws up to a sum of 17 or more, a usable ace counted as 11 |
/// | 1 | hit: draw a card |
///
/// **Observation space**: `discrete(1056)`.
///
/// | index | meaning | unit | range |
/// |---|---|---|---|
/// | 0 | `(sum * 11 + dealer) * 3 + ace` | – | 0 to 1055 |
///
/// `sum` of the player's cards, 4 to 31; `dealer`: the dealer's open card, 1 (ace) to 10; `ace`: 0 none is usable, 1
/// one is, 2 the hand is a natural (an ace and a ten as they were dealt).
///
/// **Reward**: at the end 1 for the higher sum, 0 for equal ones, -1 for the lower one; -1 for a sum above 21; 0 on
/// other steps. By the rules [`sab`](BlackjackConfig::sab) a natural always wins but against a natural. Without
/// them it pays 1.5 if [`natural`](BlackjackConfig::natural) says so.
///
/// **Start**: two cards for the player, two for the dealer of which one is hidden.
///
/// **End**: terminated by sticking and by a sum above 21. No time limit.
///
/// **Config**: [`BlackjackConfig`].
///
/// # Reference
/// Sutton and Barto, *Reinforcement Learning: An Introduction*, 2nd edition, 2018, example 5.1. Rules and order
/// of draws: Gymnasium `Blackjack-v1`, `envs/toy_text/blackjack.py`.
///
/// Deviations: one number instead of three, because tables are over one; and a natural can be told from another 21,
/// because its odds differ: without that, what is observed would be no state of a table.
#[derive(Clone, Debug)]
pub struct Blackjack {
    config: BlackjackConfig,
    /// By open card: probability, score and whether it is a natural, of each end of the dealer's hand.
    dealer_ends: Vec<Vec<(f64, u32, bool)>>,
}

/// Configuration of [`Blackjack`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BlackjackConfig {
    /// Whether a natural that wins pays 1.5. Of no effect with `sab`.
    pub natural: bool,
    /// Sutton and Barto's rules: a natural beats every hand but a natural.
    pub sab: bool,
}

impl Default for BlackjackConfig {
    fn default() -> Self {
        // As registered, not as the class of the reference has it.
        Self {
            natural: false,
            sab: true,
        }
    }
}

/// State of [`Blackjack`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlackjackState {
    /// What is observed.
    pub observed: u32,
    /// The dealer's other card.
    pub hidden: u8,
}

/// What counts of some cards.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Hand {
    /// With aces as 1.
    hard: u32,
    has_ace: bool,
}

impl Hand {
    fn of(cards: [u32; 2]) -> Self {
        let none = Self {
            hard: 0,
            has_ace: false,
        };
        none.with(cards[0]).with(cards[1])
    }

    fn with(self, card: u32) -> Self {
        Self {
            hard: self.hard + card,
            has_ace: self.has_ace || card == 1,
        }
    }

    fn usable_ace(self) -> bool {
        self.has_ace && self.hard + 10 <= 21
    }

    fn sum(self) -> u32 {
        self.hard + if self.usable_ace() { 10 } else { 0 }
    }
}

/// An observation, taken apart.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Seen {
    hand: Hand,
    dealer: u32,
    natural: bool,
}

impl Seen {
    fn encode(self) -> u32 {
        let ace = match self.natural {
            true => 2,
            false => u32::from(self.hand.usable_ace()),
        };
        (self.hand.sum() * CARDS as u32 + self.dealer) * ACES as u32 + ace
    }

    /// Of numbers that no hand shows, something that does not matter.
    fn decode(number: u32) -> Self {
        let (rest, ace) = (number / ACES as u32, number % ACES as u32);
        let (sum, dealer) = (rest / CARDS as u32, rest % CARDS as u32);
        Self {
            hand: Hand {
                hard: if ace > 0 { sum.saturating_sub(10) } else { sum },
                has_ace: ace > 0,
            },
            dealer,
            natural: ace == 2,
        }
    }

    fn is_over(self) -> bool {
        self.hand.sum() > 21
    }

    fn hit(self, card: u32) -> Self {
        Self {
            hand: self.hand.with(card),
            natural: false,
            ..self
        }
    }
}

/// Number of the card that comes `i`-th in a suit.
fn card(i: usize) -> u32 {
    (i as u32 + 1).min(10)
}

/// Each card with its probability.
fn cards() -> impl Iterator<Item = (f64, u32)> {
    (1..=10).map(|card| (if card == 10 { 4.0 } else { 1.0 } / KINDS as f64, card))
}

impl Blackjack {
    /// # Errors
    /// None: every configuration is accepted.
    pub fn new(config: &BlackjackConfig) -> Result<Self> {
        let ends = |open: usize| {
            let mut ends = Vec::new();
            for (probability, hidden) in cards() {
                let hand = Hand::of([open as u32, hidden]);
                finish(hand, hand.sum() == 21, probability, &mut ends);
            }
            ends
        };
        Ok(Self {
            config: config.clone(),
            dealer_ends: (0..CARDS).map(ends).collect(),
        })
    }

    /// The start by the cards that `draw` gives: dealer's open and hidden one, then the player's.
    pub fn start_with(&self, mut draw: impl FnMut() -> u32) -> BlackjackState {
        let [dealer, hidden, first, second] = std::array::from_fn(|_| draw());
        let hand = Hand::of([first, second]);
        let seen = Seen {
            hand,
            dealer,
            natural: hand.sum() == 21,
        };
        BlackjackState {
            observed: seen.encode(),
            hidden: hidden as u8,
        }
    }

    /// Applies `action` with the cards that `draw` gives.
    pub fn step_with(
        &self,
        state: &mut BlackjackState,
        action: usize,
        mut draw: impl FnMut() -> u32,
    ) -> Step {
        let seen = Seen::decode(state.observed);
        if seen.is_over() {
            return Step::terminal(0.0);
        }
        if action == STICK {
            let mut dealer = Hand::of([seen.dealer, state.hidden.into()]);
            let natural = dealer.sum() == 21;
            while dealer.sum() < 17 {
                dealer = dealer.with(draw());
            }
            return Step::terminal(self.settle(seen, score(dealer), natural));
        }
        let seen = seen.hit(draw());
        state.observed = seen.encode();
        hit_outcome(seen)
    }

    /// What the player gets against the dealer's score.
    fn settle(&self, seen: Seen, dealer: u32, dealer_natural: bool) -> f32 {
        let player = score(seen.hand);
        let reward = f32::from(i8::from(player > dealer) - i8::from(player < dealer));
        match self.config.sab {
            true if seen.natural && !dealer_natural => 1.0,
            false if self.config.natural && seen.natural && reward == 1.0 => 1.5,
            _ => reward,
        }
    }
}

fn hit_outcome(seen: Seen) -> Step {
    if seen.is_over() {
        Step::terminal(-1.0)
    } else {
        Step::running(0.0)
    }
}

/// The sum, or 0 above 21.
fn score(hand: Hand) -> u32 {
    Some(hand.sum()).filter(|&sum| sum <= 21).unwrap_or(0)
}

/// Adds to `ends` all that the dealer's `hand` may become.
fn finish(hand: Hand, natural: bool, probability: f64, ends: &mut Vec<(f64, u32, bool)>) {
    if hand.sum() < 17 {
        for (p, card) in cards() {
            finish(hand.with(card), false, probability * p, ends);
        }
        return;
    }
    let score = score(hand);
    match ends
        .iter_mut()
        .find(|end| (end.1, end.2) == (score, natural))
    {
        Some(end) => end.0 += probability,
        None => ends.push((probability, score, natural)),
    }
}

impl Env for Blackjack {
    type State = BlackjackState;
    type Obs = i32;
    type Action = usize;

    fn observation_space(&self) -> Space {
        Space::Discrete(SUMS * CARDS * ACES)
    }
    fn action_space(&self) -> Space {
        Space::Discrete(2)
    }
    fn reset(&self, rng: &mut Rng) -> BlackjackState {
        self.start_with(|| card(rng.random_range(0..KINDS)))
    }
    fn numpy_reset(&self, rng: &mut NumpyRng) -> Option<BlackjackState> {
        let start = self.start_with(|| card(rng.choice(KINDS)));
        // For its picture, Gymnasium then draws a suit, and a face for a ten.
        rng.choice(4);
        if Seen::decode(start.observed).dealer == 10 {
            rng.choice(3);
        }
        Some(start)
    }
    #[inline]
    fn step(&self, state: &mut BlackjackState, action: usize, rng: &mut Rng) -> Step {
        self.step_with(state, action, || card(rng.random_range(0..KINDS)))
    }
    #[inline]
    fn observe(&self, state: &BlackjackState, obs: &mut [i32]) {
        obs[0] = state.observed as i32;
    }
    fn reference(&self) -> &'static str {
        "Gymnasium Blackjack-v1"
    }
    fn action_names(&self) -> &'static [&'static str] {
        &["stick", "hit"]
    }

    fn render(&self, state: &BlackjackState) -> Option<String> {
        let seen = Seen::decode(state.observed);
        let how = match (seen.natural, seen.hand.usable_ace()) {
            (true, _) => ", a natural",
            (_, true) => " with a usable ace",
            _ => "",
        };
        let sum = seen.hand.sum();
        let dealer = match seen.dealer {
            1 => "an ace".to_owned(),
            open => open.to_string(),
        };
        Some(format!("player has {sum}{how}\ndealer shows {dealer}\n"))
    }

    fn draw(&self, state: &BlackjackState) -> Option<Picture> {
        let seen = Seen::decode(state.observed);
        let mut canvas = Canvas::new(200, 200, [0.0, 200.0], [200.0, 0.0]);
        canvas.rectangle([0.0, 0.0], [200.0, 200.0], colors::GREEN);
        // The dealer's cards above, the hidden one face down; the player's sum below.
        let top = 15.0;
        for (left, color) in [(30.0, colors::WHITE), (110.0, colors::GREY)] {
            canvas.rectangle([left, top], [left + 60.0, top + 80.0], color);
        }
        number(
            &mut canvas,
            [60.0, top + 40.0],
            14.0,
            seen.dealer,
            colors::BLACK,
        );
        let color = match (seen.natural, seen.hand.usable_ace()) {
            _ if seen.is_over() => colors::BLACK,
            (true, _) => colors::ORANGE,
            (_, true) => colors::YELLOW,
            _ => colors::WHITE,
        };
        number(&mut canvas, [100.0, 150.0], 22.0, seen.hand.sum(), color);
        Some(canvas.finish())
    }
}

/// Segments of a digit that light up, of: top, upper left, upper right, middle, lower left, lower right, bottom.
const DIGITS: [[bool; 7]; 10] = {
    const X: bool = true;
    const O: bool = false;
    [
        [X, X, X, O, X, X, X],
        [O, O, X, O, O, X, O],
        [X, O, X, X, X, O, X],
        [X, O, X, X, O, X, X],
        [O, X, X, X, O, X, O],
        [X, X, O, X, O, X, X],
        [X, X, O, X, X, X, X],
        [X, O, X, O, O, X, O],
        [X, X, X, X, X, X, X],
        [X, X, X, X, O, X, X],
    ]
};

/// Draws `number`, of one or two digits, around `center`; `size` is the width of a digit.
fn number(canvas: &mut Canvas, center: [f64; 2], size: f64, number: u32, color: Rgb) {
    let digits = [number / 10 % 10, number % 10];
    let digits = &digits[usize::from(number < 10)..];
    for (i, &digit) in digits.iter().enumerate() {
        let shift = i as f64 - (digits.len() - 1) as f64 / 2.0;
        let x = center[0] + shift * 1.6 * size;
        let corner =
            |right: f64, down: f64| [x + (right - 0.5) * size, center[1] + (down - 1.0) * size];
        let segments = [
            [corner(0.0, 0.0), corner(1.0, 0.0)],
            [corner(0.0, 0.0), corner(0.0, 1.0)],
            [corner(1.0, 0.0), corner(1.0, 1.0)],
            [corner(0.0, 1.0), corner(1.0, 1.0)],
            [corner(0.0, 1.0), corner(0.0, 2.0)],
            [corner(1.0, 1.0), corner(1.0, 2.0)],
            [corner(0.0, 2.0), corner(1.0, 2.0)],
        ];
        for (segment, lit) in segments.iter().zip(DIGITS[digit as usize]) {
            if lit {
                canvas.line(segment, 5.0, color);
            }
        }
    }
}

impl FiniteMdp for Blackjack {
    fn num_states(&self) -> usize {
        SUMS * CARDS * ACES
    }
    fn num_actions(&self) -> usize {
        2
    }

    fn starts(&self, each: &mut dyn FnMut(f64, usize)) {
        for (p, dealer) in cards() {
            for (p1, first) in cards() {
                for (p2, second) in cards() {
                    let mut drawn = [dealer, 1, first, second].into_iter();
                    let start = self.start_with(|| drawn.next().unwrap_or(1));
                    each(p * p1 * p2, start.observed as usize);
                }
            }
        }
    }

    fn outcomes(&self, state: usize, action: usize, each: &mut dyn FnMut(f64, usize, Step)) {
        let seen = Seen::decode(state as u32);
        if seen.is_over() || seen.dealer == 0 {
            return each(1.0, state, Step::terminal(0.0));
        }
        if action == STICK {
            for &(p, dealer, natural) in &self.dealer_ends[seen.dealer as usize] {
                let reward = self.settle(seen, dealer, natural);
                each(p, state, Step::terminal(reward));
            }
            return;
        }
        for (p, card) in cards() {
            let next = seen.hit(card);
            each(p, next.encode() as usize, hit_outcome(next));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thorndike_core::check_env;

    fn table(natural: bool, sab: bool) -> Blackjack {
        Blackjack::new(&BlackjackConfig { natural, sab }).unwrap()
    }

    /// Reward of sticking on the first two of the player's cards.
    fn stick(env: &Blackjack, player: [u32; 2], dealer: &[u32]) -> f32 {
        let mut start = [dealer[0], dealer[1], player[0], player[1]].into_iter();
        let mut state = env.start_with(|| start.next().unwrap());
        let mut more = dealer[2..].iter();
        let step = env.step_with(&mut state, STICK, || *more.next().unwrap());
        assert!(more.next().is_none(), "the dealer stands");
        step.reward
    }

    #[test]
    fn conforms() {
        for (natural, sab) in [(false, true), (false, false), (true, false)] {
            assert_eq!(check_env(table(natural, sab)), Ok(()));
        }
    }

    #[test]
    fn every_state_that_a_hand_shows_is_found_again() {
        let env = table(false, true);
        env.starts(&mut |_, state| assert_eq!(Seen::decode(state as u32).encode(), state as u32));
        for state in 0..env.num_states() {
            for action in 0..2 {
                let mut sum = 0.0;
                env.outcomes(state, action, &mut |p, next, _| {
                    assert!(next < env.num_states());
                    sum += p;
                });
                assert!((sum - 1.0).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn the_dealer_stands_on_a_soft_17() {
        assert_eq!(stick(&table(false, true), [10, 8], &[1, 6]), 1.0);
        assert_eq!(stick(&table(false, true), [10, 8], &[10, 6, 5]), -1.0);
        assert_eq!(
            stick(&table(false, true), [10, 8], &[10, 6, 10]),
            1.0,
            "bust"
        );
    }

    #[test]
    fn naturals_by_each_of_the_rules() {
        let (three, two) = ([5, 6, 10], [10, 1]);
        let (natural, plain) = ([1, 10], [10, 10]);
        for (env, against_three, against_17) in [
            (table(false, true), 1.0, 1.0),
            (table(false, false), 0.0, 1.0),
            (table(true, false), 0.0, 1.5),
            (table(true, true), 1.0, 1.0),
        ] {
            assert_eq!(stick(&env, natural, &three), against_three);
            assert_eq!(stick(&env, natural, &[10, 7]), against_17);
            assert_eq!(stick(&env, natural, &two), 0.0);
            assert_eq!(stick(&env, plain, &two), -1.0);
        }
    }

    #[test]
    fn a_natural_is_none_after_a_card() {
        let env = table(false, true);
        let mut start = [10, 7, 1, 10].into_iter();
        let mut state = env.start_with(|| start.next().unwrap());
        assert!(Seen::decode(state.observed).natural);
        let step = env.step_with(&mut state, 1, || 10);
        let seen = Seen::decode(state.observed);
        assert_eq!((step, seen.hand.sum()), (Step::running(0.0), 21));
        assert!(!seen.natural && !seen.hand.usable_ace());
    }

    #[test]
    fn a_sum_above_21_loses_at_once_and_stays_over() {
        let env = table(false, true);
        let mut start = [10, 7, 10, 6].into_iter();
        let mut state = env.start_with(|| start.next().unwrap());
        assert_eq!(env.step_with(&mut state, 1, || 10), Step::terminal(-1.0));
        assert_eq!(env.step_with(&mut state, 1, || 10), Step::terminal(0.0));
        assert_eq!(Seen::decode(state.observed).hand.sum(), 26);
    }

    #[test]
    fn the_picture_tells_what_is_seen() {
        let env = table(false, true);
        let mut start = [1, 7, 1, 10].into_iter();
        let state = env.start_with(|| start.next().unwrap());
        let text = env.render(&state).unwrap();
        assert_eq!(text, "player has 21, a natural\ndealer shows an ace\n");
        let frame = env.draw(&state).unwrap();
        let shows = |color: Rgb| frame.rgb.chunks_exact(3).any(|pixel| pixel == color);
        assert!(shows(colors::ORANGE) && !shows(colors::YELLOW));
    }
}
