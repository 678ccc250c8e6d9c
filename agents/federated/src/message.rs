//! What server and clients send each other.

use serde::{Deserialize, Serialize};
use thorndike_core::{Status, Weights};

/// From the server to a client: learn from these weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// Which round, from 0.
    pub round: u64,
    /// To which client.
    pub client: u32,
    /// How much of its work it does, from 0 to 1; less than 1 of a straggler.
    pub share: f64,
    /// How strongly it is pulled back to these weights.
    pub proximal_mu: f64,
    /// The weights to begin with.
    pub weights: Weights,
}

/// From a client to the server: what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The round of the order.
    pub round: u64,
    /// Which client.
    pub client: u32,
    /// What it counts by in the mean: the samples that it holds, or the environment steps that it made.
    pub samples: u64,
    /// Samples or environment steps that it learned from in this round.
    pub seen: u64,
    /// Mean loss over them.
    pub loss: f64,
    /// Its weights at the end.
    pub weights: Weights,
    /// Episodes of an agent that ended.
    pub episodes: Vec<Ended>,
}

/// An episode that ended at a client.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// Sum of its rewards.
    pub episode_return: f64,
    /// Its steps.
    pub length: u32,
    /// How it ended.
    pub status: Status,
}

impl Report {
    /// A report on `order` of a client that did nothing.
    pub fn of(order: &Order) -> Self {
        Self {
            round: order.round,
            client: order.client,
            samples: 0,
            seen: 0,
            loss: 0.0,
            weights: Weights::default(),
            episodes: Vec::new(),
        }
    }
}

/// Bytes of `message` as it would be sent: postcard's form, which has four for each weight.
pub(crate) fn bytes(message: &impl Serialize) -> u64 {
    let size = postcard::ser_flavors::Size::default();
    let size = postcard::serialize_with_flavor(message, size);
    size.expect("plain numbers and lists") as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_as_long_as_it_says_and_comes_back_whole() {
        let order = Order {
            round: 300,
            client: 7,
            share: 0.5,
            proximal_mu: 0.1,
            weights: Weights {
                trained: vec![1.5; 1000],
                beside: vec![f32::NAN, -2.0],
            },
        };
        let sent = postcard::to_stdvec(&order).unwrap();
        assert_eq!(sent.len() as u64, bytes(&order));
        // Two for the round, one for the client, sixteen for two numbers, three for the lengths of the lists.
        assert_eq!(sent.len(), 4 * 1002 + 2 + 1 + 16 + 3);
        let got: Order = postcard::from_bytes(&sent).unwrap();
        assert_eq!(got.weights.trained, order.weights.trained);
        assert!(got.weights.beside[0].is_nan());
    }
}
