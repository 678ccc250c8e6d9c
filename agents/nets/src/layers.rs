//! Layers that models are built of.

use tch::Tensor;

use crate::Scope;

/// Affine map `y = x Wᵀ + b`: `[batch, inputs] -> [batch, outputs]`.
///
/// # Reference
/// Initial values as PyTorch's `torch.nn.Linear`: weight and bias uniform in `±1/sqrt(inputs)`, which is
/// the uniform initialisation of He et al., "Delving Deep into Rectifiers" (2015), with a = √5.
/// Deviations: none.
#[derive(Debug)]
pub struct Linear {
    /// `[outputs, inputs]`.
    pub weight: Tensor,
    /// `[outputs]`.
    pub bias: Tensor,
}

impl Linear {
    /// Declares `weight` and `bias` in `scope`.
    pub fn new(scope: &mut Scope<'_>, inputs: i64, outputs: i64) -> Self {
        let bound = 1.0 / (inputs as f32).sqrt();
        Self {
            weight: scope.uniform("weight", &[outputs, inputs], bound),
            bias: scope.uniform("bias", &[outputs], bound),
        }
    }

    /// `[batch, inputs] -> [batch, outputs]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight, Some(&self.bias))
    }
}
