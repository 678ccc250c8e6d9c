//! Models: one file each. To add one, write the file, name it here, and give it an arm in
//! [`ExtractorConfig`](crate::ExtractorConfig).

mod mlp;

pub use mlp::{Activation, Mlp, MlpConfig};
