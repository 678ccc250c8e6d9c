//! Games of blackjack, and its table.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;
use thorndike_core::{Env, FiniteMdp, NumpyRng, Status};
use thorndike_envs::table::{Blackjack, BlackjackConfig};

use crate::records::{arguments, for_each_record, status};

/// Sum, the dealer's card, whether an ace is usable.
type Seen = [u32; 3];

/// What Gymnasium shows of the state `number`, which tells naturals apart as well.
fn seen(number: u32) -> Seen {
    [
        number / 33,
        number / 3 % 11,
        u32::from(!number.is_multiple_of(3)),
    ]
}

fn blackjack(id: &str, kwargs: &Value) -> Blackjack {
    let config: BlackjackConfig = arguments(id, kwargs);
    Blackjack::new(&config).unwrap()
}

#[derive(Deserialize)]
struct Game {
    id: String,
    kwargs: Value,
    seed: u64,
    obs0: Seen,
    reset_cards: [u32; 4],
    actions: Vec<usize>,
    /// Drawn in each step.
    cards: Vec<Vec<u32>>,
    obs: Vec<Seen>,
    rewards: Vec<f64>,
    terminated: Vec<u8>,
}

impl Game {
    /// Plays by the recorded cards, which also are those of numpy's generator.
    fn check(&self) -> usize {
        let id = &self.id;
        let env = blackjack(id, &self.kwargs);
        let mut rng = NumpyRng::new(self.seed);
        let mut cards = self.reset_cards.into_iter();
        let mut state = env.start_with(|| cards.next().unwrap());
        assert_eq!(
            env.numpy_reset(&mut rng),
            Some(state),
            "{id}: start by seed"
        );
        assert_eq!(seen(state.observed), self.obs0, "{id}: first observation");
        let ends = status(&self.terminated, &vec![0; self.terminated.len()]);
        for (t, &action) in self.actions.iter().enumerate() {
            let mut cards = self.cards[t].iter();
            let step = env.step_with(&mut state, action, || {
                let card = *cards.next().unwrap();
                assert_eq!(
                    (rng.choice(13) as u32 + 1).min(10),
                    card,
                    "{id}: card by seed"
                );
                card
            });
            assert!(cards.next().is_none(), "{id}: all cards of step {t}");
            assert_eq!(seen(state.observed), self.obs[t], "{id}: observation {t}");
            assert_eq!(step.reward, self.rewards[t] as f32, "{id}: reward {t}");
            assert_eq!(step.status, ends[t], "{id}: end {t}");
        }
        self.actions.len()
    }
}

#[test]
fn golden_blackjack_games() {
    for_each_record("blackjack", "episodes", |game: Game| game.check());
}

#[derive(Deserialize)]
struct Exact {
    kwargs: Value,
    first_obs: Vec<(u32, u32, u32, f64)>,
    states: Vec<State>,
}

#[derive(Deserialize)]
struct State {
    obs: Seen,
    /// Probability by reward.
    stick: HashMap<String, f64>,
    note: String,
}

/// The data's own tolerance.
fn near(found: f64, expected: f64) -> bool {
    (found - expected).abs() < 1e-9
}

impl Exact {
    fn check(&self) -> usize {
        let env = blackjack("exact", &self.kwargs);
        let mut starts = HashMap::new();
        env.starts(&mut |p, state| *starts.entry(seen(state as u32)).or_insert(0.0) += p);
        assert_eq!(starts.len(), self.first_obs.len());
        for &(sum, dealer, usable, p) in &self.first_obs {
            assert!(
                near(starts[&[sum, dealer, usable]], p),
                "{sum} {dealer} {usable}"
            );
        }
        for State { obs, stick, note } in &self.states {
            let [sum, dealer, usable] = *obs;
            let ace = if note == "two-card natural" {
                2
            } else {
                usable
            };
            let number = (sum * 11 + dealer) * 3 + ace;
            let mut found: HashMap<String, f64> = HashMap::new();
            env.outcomes(number as usize, 0, &mut |p, _, step| {
                assert_eq!(step.status, Status::Terminated);
                *found.entry(format!("{:?}", step.reward)).or_default() += p;
            });
            assert_eq!(found.len(), stick.len(), "{obs:?} {note}: {found:?}");
            for (reward, &p) in stick {
                assert!(near(found[reward], p), "{obs:?} {note}: {found:?}");
            }
        }
        self.first_obs.len() + self.states.len()
    }
}

#[test]
fn golden_blackjack_table() {
    for_each_record("blackjack", "exact", |exact: Exact| exact.check());
}
