//! Federated learning: clients that keep their data, and a server that averages what they learned. Nothing here needs
//! libtorch.
//!
//! | part | what it does |
//! |---|---|
//! | [`FederatedConfig`] | who takes part, how often, and how updates are put together |
//! | [`Split`] | which client holds which samples |
//! | [`Order`], [`Report`] | what server and clients send each other |
//! | [`Worker`] | does the work of some clients |
//! | [`Server`] | the rounds |
//! | [`ServerConfig`], [`ServerOptimizer`] | FedAvg, FedAvgM and FedAdam |
//! | [`PrivacyConfig`], [`Accountant`] | clipping, noise, and the epsilon that they come to |
//!
//! Clients and server share nothing but messages, which are plain data and can be serialised: they travel over channels
//! between threads of one process here, and another transport could take the place of the channels.
//!
//! ```
//! use thorndike_core::{Result, Seeds, Weights};
//! use thorndike_federated::{FederatedConfig, Order, Report, Server, Worker};
//!
//! /// Clients that each want the one weight to be their own number.
//! struct Wishes;
//!
//! impl Worker for Wishes {
//!     fn work(&mut self, order: &Order) -> Result<Report> {
//!         let wish = f32::from(order.client as u8);
//!         let weights = Weights { trained: vec![wish], beside: vec![] };
//!         Ok(Report { weights, samples: 1, ..Report::of(order) })
//!     }
//! }
//!
//! # fn main() -> Result<()> {
//! let names = ["none", "one", "two"].map(str::to_owned).to_vec();
//! let start = Weights { trained: vec![9.0], beside: vec![] };
//! let config = FederatedConfig::default();
//! let mut server = Server::new(&config, names, start, Seeds::new(1), vec![Box::new(Wishes)])?;
//! let round = server.run_round()?;
//! assert_eq!(server.weights().trained, [1.0], "the mean");
//! assert_eq!((round.reports, round.bytes_down > 0), (3, true));
//! # Ok(())
//! # }
//! ```

mod accountant;
mod config;
mod crew;
mod message;
mod optimizer;
mod server;
mod split;

pub use accountant::Accountant;
pub use config::{FederatedConfig, PrivacyConfig, Stragglers};
pub use crew::Worker;
pub use message::{Ended, Order, Report};
pub use optimizer::{ServerConfig, ServerOptimizer};
pub use server::{Round, Server};
pub use split::Split;
