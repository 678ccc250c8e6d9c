//! Models, one a file.

mod cnn;
mod impala;
mod mlp;
mod recurrent;

pub use cnn::{Cnn, CnnConfig, ConvConfig};
pub use impala::{Impala, ImpalaConfig};
pub use mlp::{Activation, Mlp, MlpConfig};
pub use recurrent::{Cell, Recurrent, RecurrentConfig, RecurrentStack};
