//! The recurrent Q-network.

use std::path::Path;

use thorndike_core::replay::SequenceBatch;
use thorndike_core::{Array, BuildContext, Result};
use thorndike_nets::tch::{Device, Kind, Tensor, no_grad_guard};
use thorndike_nets::{Input, Linear, ParamStore, Scope, models::Recurrent};

use super::config::R2d2Config;
use crate::loss::{dueling, dueling_gradient};

/// Q-values of sequences of observations, `[batch, time, observation row] -> [batch, time, actions]`, from given
/// states.
///
/// The head is one linear layer with an output an action, or, in a dueling network, one for the state's value and
/// then one an action. Weights are called `extractor.*` and `head.*`.
#[derive(Debug)]
pub(super) struct SequenceNetwork {
    params: ParamStore,
    extractor: Recurrent,
    head: Linear,
    input: Input,
    num_actions: usize,
    dueling: bool,
    /// Outputs of the head with their graph, until the backward pass.
    graph: Option<Tensor>,
    /// Outputs of the head, `[rows, outputs]`.
    outputs: Vec<f32>,
    /// `[rows, actions]`.
    q: Vec<f32>,
    d_outputs: Vec<f32>,
}

impl SequenceNetwork {
    pub(super) fn new(config: &R2d2Config, ctx: &BuildContext<'_>, device: Device) -> Result<Self> {
        let space = ctx.spec.observation_space();
        let num_actions = ctx.spec.num_actions("r2d2")?;
        let input = Input::floats(&space, ctx.spec.obs_kind, device)?;
        let inputs = input.shape().iter().product();
        let outputs = num_actions as i64 + i64::from(config.dueling);
        let recurrent = config.recurrent()?;
        let network = |scope: &mut Scope<'_>| {
            let extractor = Recurrent::new(recurrent, &mut scope.sub("extractor"), inputs)?;
            let head = Linear::new(&mut scope.sub("head"), extractor.width(), outputs);
            Ok((extractor, head))
        };
        let init = ctx.seeds.stream("agent/init", 0);
        let (params, (extractor, head)) = ParamStore::build(device, init, network)?;
        Ok(Self {
            params,
            extractor,
            head,
            input,
            num_actions,
            dueling: config.dueling,
            graph: None,
            outputs: Vec::new(),
            q: Vec::new(),
            d_outputs: Vec::new(),
        })
    }

    /// Numbers in a state.
    pub(super) fn state_len(&self) -> usize {
        self.extractor.state_len() as usize
    }

    /// Makes the weights trainable.
    pub(super) fn enable_gradients(&mut self) {
        self.params.enable_gradients();
    }

    /// Q-values `[batch, actions]` of one step; `states` `[batch, state_len]` become those behind it.
    pub(super) fn step(&mut self, obs: &Array, states: &mut [f32]) -> &[f32] {
        let _guard = no_grad_guard();
        let x = self.sequences(obs, obs.rows());
        let (features, after) = self.extractor.run(&x, &self.tensor_of(states), false);
        after.copy_data(states, states.len());
        let outputs = self.head.forward(&features);
        self.read(&outputs)
    }

    /// Q-values `[batch, time, actions]` of the steps of `batch` and the observation behind them, from the states
    /// that the stored ones have become after the burn-in. If `learn`, [`backward`](Self::backward) can follow;
    /// its gradient ends where the burn-in does.
    pub(super) fn unroll(&mut self, batch: &SequenceBatch, learn: bool) -> &[f32] {
        self.graph = None;
        let states = {
            let _guard = no_grad_guard();
            let states = self.tensor_of(&batch.states);
            if batch.burn_in_obs.rows() == 0 {
                states
            } else {
                let x = self.sequences(&batch.burn_in_obs, batch.len());
                self.extractor.states_after(&x, &batch.burn_ins, &states)
            }
        };
        let forward = |this: &mut Self| {
            let x = this.sequences(&batch.obs, batch.len());
            let (features, _) = this.extractor.run(&x, &states, learn);
            this.head.forward(&features)
        };
        if learn {
            let outputs = forward(self);
            self.graph = Some(outputs.shallow_clone());
            self.read(&outputs)
        } else {
            let _guard = no_grad_guard();
            let outputs = forward(self);
            self.read(&outputs)
        }
    }

    /// `obs` `[batch * time, observation row]` as `[batch, time, inputs]`.
    fn sequences(&mut self, obs: &Array, batch: usize) -> Tensor {
        let time = (obs.rows() / batch) as i64;
        self.input.tensor(obs).reshape([batch as i64, time, -1])
    }

    fn tensor_of(&self, states: &[f32]) -> Tensor {
        let states = Tensor::from_slice(states).to_device(self.params.device());
        states.view([-1, self.extractor.state_len()])
    }

    /// Q-values of outputs of the head.
    fn read(&mut self, outputs: &Tensor) -> &[f32] {
        self.outputs.resize(outputs.numel(), 0.0);
        outputs.copy_data(&mut self.outputs, outputs.numel());
        if !self.dueling {
            return &self.outputs;
        }
        dueling(&self.outputs, self.num_actions, 1, &mut self.q);
        &self.q
    }

    /// Writes the gradient of the weights, given that of the Q-values of the last [`unroll`](Self::unroll).
    ///
    /// # Panics
    /// If that was not for learning.
    pub(super) fn backward(&mut self, d_q: &[f32]) {
        let d_outputs = if self.dueling {
            dueling_gradient(d_q, self.num_actions, 1, &mut self.d_outputs);
            &self.d_outputs
        } else {
            d_q
        };
        let outputs = (self.graph.take()).expect("a forward pass comes before its backward pass");
        let d_outputs = Tensor::from_slice(d_outputs).to_device(outputs.device());
        self.params.zero_gradient();
        // The gradient of this sum with respect to the outputs is `d_outputs`.
        (&outputs * d_outputs.view_as(&outputs))
            .sum(Kind::Float)
            .backward();
    }

    /// The weights.
    pub(super) fn params(&self) -> &ParamStore {
        &self.params
    }

    /// The weights, to be changed.
    pub(super) fn params_mut(&mut self) -> &mut ParamStore {
        &mut self.params
    }

    pub(super) fn load(&mut self, path: &Path) -> Result<()> {
        self.params.load(path)
    }

    /// Names, shapes and number of the weights.
    pub(super) fn describe(&self) -> String {
        let mut lines = String::new();
        for (name, shape) in self.params.shapes() {
            lines += &format!("{name} {shape:?}\n");
        }
        let device = match self.params.device() {
            Device::Cpu => "cpu".to_owned(),
            Device::Cuda(n) => format!("cuda:{n}"),
            other => format!("{other:?}"),
        };
        let parameters = self.params.num_parameters();
        lines + &format!("{parameters} parameters on {device}, libtorch's passes")
    }
}
