//! The Q-network: extractor and head, run by libtorch or, where that is enough, without it.

use std::path::Path;

use thorndike_core::{Array, BuildContext, Error, Result, Space};
use thorndike_nets::tch::{Device, Kind, Tensor, no_grad_guard};
use thorndike_nets::{Dense, FeatureExtractor, Input, Linear, ParamStore, Scope};

use crate::loss::{dueling, dueling_gradient};

/// Builds the extractor of a network from its scope and the space of the observations.
pub(crate) type BuildExtractor<'a> =
    dyn Fn(&mut Scope<'_>, &Space) -> Result<Box<dyn FeatureExtractor>> + 'a;

/// Q-values of observations: `[batch, observation row] -> [batch, actions]`.
///
/// The head is one linear layer with an output an action, or, in a dueling network, one for the state's value
/// and then one an action. Weights are called `extractor.*` and `head.*`.
#[derive(Debug)]
pub(crate) struct QNetwork {
    params: ParamStore,
    runner: Runner,
    input: Input,
    num_actions: usize,
    dueling: bool,
    /// Outputs of the head, `[batch, outputs]`.
    outputs: Vec<f32>,
    /// `[batch, actions]`.
    q: Vec<f32>,
    d_outputs: Vec<f32>,
}

/// What computes the passes.
#[derive(Debug)]
enum Runner {
    /// Nothing but ReLU layers, on the processor.
    Dense(Dense),
    /// Everything else. The outputs of the last forward pass carry its graph.
    Graph {
        extractor: Box<dyn FeatureExtractor>,
        head: Linear,
        outputs: Option<Tensor>,
    },
}

/// Whether a network that could do without libtorch's passes does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passes {
    /// It does.
    Fast,
    /// It does not: the reference that tests compare with.
    #[cfg_attr(not(test), expect(dead_code, reason = "the reference of the tests"))]
    Graph,
}

impl QNetwork {
    pub(crate) fn new(
        extractor: &BuildExtractor<'_>,
        is_dueling: bool,
        passes: Passes,
        ctx: &BuildContext<'_>,
        device: Device,
    ) -> Result<Self> {
        let space = ctx.spec.observation_space();
        let num_actions = ctx.spec.num_actions("dqn")?;
        let input = Input::floats(&space, ctx.spec.obs_kind, device)?;
        let outputs = num_actions + usize::from(is_dueling);
        let init = ctx.seeds.stream("agent/init", 0);
        let (params, (extractor, head)) = ParamStore::build(device, init, |scope| {
            let extractor = extractor(&mut scope.sub("extractor"), &space)?;
            let head = Linear::new(&mut scope.sub("head"), extractor.width(), outputs as i64);
            Ok((extractor, head))
        })?;
        let layers = extractor
            .relu_layers()
            .filter(|_| device == Device::Cpu && passes == Passes::Fast);
        let runner = match layers {
            Some(mut sizes) => {
                sizes.push(outputs);
                Runner::Dense(Dense::new(&sizes, &params))
            }
            None => Runner::Graph {
                extractor,
                head,
                outputs: None,
            },
        };
        let mut network = Self {
            params,
            runner,
            input,
            num_actions,
            dueling: is_dueling,
            outputs: Vec::new(),
            q: Vec::new(),
            d_outputs: Vec::new(),
        };
        network.dry_run(&Array::zeros_of(ctx.spec.obs_kind, 2, space.len()))?;
        Ok(network)
    }

    /// Finds a wrong shape when the network is built rather than in the first step.
    fn dry_run(&mut self, obs: &Array) -> Result<()> {
        if let Runner::Graph { extractor, .. } = &self.runner {
            let _guard = no_grad_guard();
            let features = extractor.features(&self.input.tensor(obs), false);
            let expected = [obs.rows() as i64, extractor.width()];
            if features.size() != expected {
                let what = format!(
                    "its features have shape {:?}, expected {expected:?}",
                    features.size()
                );
                return Err(Error::config("extractor", what));
            }
        }
        self.q_values(obs);
        Ok(())
    }

    /// Makes the weights trainable.
    pub(crate) fn enable_gradients(&mut self) {
        self.params.enable_gradients();
    }

    /// Q-values `[batch, actions]` for acting and targets. Spoils what [`backward`](Self::backward) needs.
    pub(crate) fn q_values(&mut self, obs: &Array) -> &[f32] {
        match &mut self.runner {
            Runner::Dense(dense) => {
                let outputs = dense.forward(self.input.encode(obs));
                self.outputs.clear();
                self.outputs.extend_from_slice(outputs);
            }
            Runner::Graph {
                extractor,
                head,
                outputs,
            } => {
                *outputs = None;
                let _guard = no_grad_guard();
                let features = extractor.features(&self.input.tensor(obs), false);
                read(&head.forward(&features), &mut self.outputs);
            }
        }
        self.join()
    }

    /// Q-values `[batch, actions]` that [`backward`](Self::backward) can follow.
    pub(crate) fn forward(&mut self, obs: &Array) -> &[f32] {
        let Runner::Graph {
            extractor,
            head,
            outputs,
        } = &mut self.runner
        else {
            return self.q_values(obs);
        };
        let features = extractor.features(&self.input.tensor(obs), true);
        let raw = outputs.insert(head.forward(&features));
        read(raw, &mut self.outputs);
        self.join()
    }

    /// Q-values of the outputs at hand.
    fn join(&mut self) -> &[f32] {
        if !self.dueling {
            return &self.outputs;
        }
        dueling(&self.outputs, self.num_actions, &mut self.q);
        &self.q
    }

    /// Writes the gradient of the weights, given that of the Q-values of the last [`forward`](Self::forward).
    pub(crate) fn backward(&mut self, d_q: &[f32]) {
        let d_outputs = if self.dueling {
            dueling_gradient(d_q, self.num_actions, &mut self.d_outputs);
            &self.d_outputs
        } else {
            d_q
        };
        match &mut self.runner {
            Runner::Dense(dense) => dense.backward(d_outputs, &mut self.params),
            Runner::Graph { outputs, .. } => {
                let outputs = outputs
                    .take()
                    .expect("a forward pass comes before its backward pass");
                let d_outputs = Tensor::from_slice(d_outputs)
                    .to_device(outputs.device())
                    .view_as(&outputs);
                self.params.zero_gradient();
                // The gradient of this sum with respect to the outputs is `d_outputs`.
                (outputs * d_outputs).sum(Kind::Float).backward();
            }
        }
    }

    /// The weights.
    pub(crate) fn params(&self) -> &ParamStore {
        &self.params
    }

    /// Changes the weights with `change`.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut ParamStore)) {
        change(&mut self.params);
        if let Runner::Dense(dense) = &mut self.runner {
            dense.refresh(&self.params);
        }
    }

    /// Scales the gradient down to `max_norm` and returns its norm before.
    pub(crate) fn clip_gradient(&mut self, max_norm: f64) -> f64 {
        self.params.clip_gradient(max_norm)
    }

    /// Names, shapes and number of the weights, and what runs them.
    pub(crate) fn describe(&self) -> String {
        let mut lines = String::new();
        for (name, shape) in self.params.shapes() {
            lines += &format!("{name} {shape:?}\n");
        }
        let passes = match self.runner {
            Runner::Dense(_) => "fast passes for ReLU layers",
            Runner::Graph { .. } => "libtorch's passes",
        };
        let device = match self.params.device() {
            Device::Cpu => "cpu".to_owned(),
            Device::Cuda(n) => format!("cuda:{n}"),
            other => format!("{other:?}"),
        };
        lines
            + &format!(
                "{} parameters on {device}, {passes}",
                self.params.num_parameters()
            )
    }

    pub(crate) fn load(&mut self, path: &Path) -> Result<()> {
        let mut result = Ok(());
        self.change(|params| result = params.load(path));
        result
    }
}

/// Copies a tensor's values, whatever its device.
fn read(tensor: &Tensor, out: &mut Vec<f32>) {
    out.resize(tensor.numel(), 0.0);
    tensor.copy_data(out, tensor.numel());
}
