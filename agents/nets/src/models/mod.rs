//! Models, one a file.

mod cell;
mod cnn;
mod impala;
mod mlp;
mod perceptron;
mod recurrent;
mod rnn;
mod u_net;
mod vgg;

pub use cell::Cell;
pub use cnn::{Cnn, CnnConfig, ConvConfig, LayerConfig, PoolConfig, PoolKind, ResidualConfig};
pub use impala::{Impala, ImpalaConfig};
pub use mlp::{Activation, Mlp, MlpConfig};
pub use perceptron::{Form, Perceptron, PerceptronConfig};
pub use recurrent::{Recurrent, RecurrentConfig, RecurrentStack};
pub use rnn::{Readout, Rnn, RnnConfig};
pub use u_net::{UNet, UNetConfig, Upsampling};
pub use vgg::{Vgg, VggConfig, VggLayer, VggPart};
