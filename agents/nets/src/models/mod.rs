//! Models, one a file.

mod bag_of_words;
mod bert;
mod cell;
mod cnn;
mod csp;
mod impala;
mod mlp;
mod parts;
mod perceptron;
mod planes;
mod recurrent;
mod rnn;
mod sentences;
mod u_net;
mod vgg;
mod word_table;
mod yolo;

pub use bag_of_words::{BagOfWords, BagOfWordsConfig};
pub use bert::{Bert, BertConfig, BertReadout, HiddenActivation, LanguageHead, Precision};
pub use cell::Cell;
pub use cnn::{Cnn, CnnConfig, ConvConfig, LayerConfig, PoolConfig, PoolKind, ResidualConfig};
pub use csp::{Csp, CspConfig};
pub use impala::{Impala, ImpalaConfig};
pub use mlp::{Activation, Mlp, MlpConfig};
pub use parts::{Parts, PartsConfig};
pub use perceptron::{Form, Perceptron, PerceptronConfig};
pub use planes::{Planes, PlanesConfig};
pub use recurrent::{Recurrent, RecurrentConfig, RecurrentStack};
pub use rnn::{Readout, Rnn, RnnConfig};
pub use sentences::{Sentences, SentencesConfig};
pub use u_net::{UNet, UNetConfig, Upsampling};
pub use vgg::{Vgg, VggConfig, VggLayer, VggPart};
pub use yolo::{AnchorFreeConfig, GridConfig, HeadConfig, Level, Looked, Yolo, YoloConfig};
