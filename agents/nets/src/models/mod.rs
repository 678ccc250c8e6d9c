//! Models, one a file.

mod cnn;
mod impala;
mod mlp;

pub use cnn::{Cnn, CnnConfig, ConvConfig};
pub use impala::{Impala, ImpalaConfig};
pub use mlp::{Activation, Mlp, MlpConfig};
