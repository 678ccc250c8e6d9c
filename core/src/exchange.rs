//! Weights as flat lists: what is handed from one learner to another.

use serde::{Deserialize, Serialize};

/// The numbers of a model, end to end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Weights {
    /// Those that are trained.
    pub trained: Vec<f32>,
    /// Those that are not, such as the running statistics of a batch norm.
    pub beside: Vec<f32>,
}

impl Weights {
    /// Whether all are numbers, and no infinite ones.
    pub fn is_finite(&self) -> bool {
        self.trained
            .iter()
            .chain(&self.beside)
            .all(|x| x.is_finite())
    }

    /// Whether `other` is of a model of the same size.
    pub fn is_like(&self, other: &Self) -> bool {
        let lens = |weights: &Self| [weights.trained.len(), weights.beside.len()];
        lens(self) == lens(other)
    }
}

/// A learner whose weights can be taken out and put in.
///
/// *Design.* Two flat lists instead of named tensors: whoever averages, clips or adds noise needs no names, and a message
/// is as long as the numbers in it.
pub trait Exchange {
    /// Its weights.
    fn weights(&self) -> Weights;

    /// Puts `weights` in the place of its own.
    ///
    /// # Panics
    /// If they are of a model of another size.
    fn set_weights(&mut self, weights: &Weights);

    /// Begins to learn anew from the weights as they are. A model forgets what its optimiser has gathered, and is pulled
    /// back to them by `proximal_mu` times the distance in each gradient from now on; an agent keeps its experience and its
    /// optimiser, is not pulled, and takes the weights for its targets, too.
    fn restart(&mut self, proximal_mu: f64);
}
