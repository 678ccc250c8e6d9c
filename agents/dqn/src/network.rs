//! The Q-network: extractor and head, run by libtorch or, where that is enough, without it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use thorndike_core::{Array, Columns, EnvSpec, Error, Kind as Scalar, Result, Rng, Space};
use thorndike_nets::tch::{Device, Kind, Tensor, no_grad_guard};
use thorndike_nets::{
    AgentFile, Chain, ExtractorConfig, FeatureExtractor, Input, Inputs, ParamStore, Scope,
};

use crate::head::{Head, HeadShape};
use crate::loss::{Fractions, dueling, dueling_gradient};

/// Builds the extractor of a network from its scope and the space of the observations.
pub(crate) type BuildExtractor =
    dyn Fn(&mut Scope<'_>, &Space) -> Result<Box<dyn FeatureExtractor>> + Send + Sync;

/// What an extractor reads of the observations of `spec`, whose space is `space`.
pub(crate) fn inputs<'a>(space: &'a Space, spec: &'a EnvSpec) -> Inputs<'a> {
    Inputs {
        space,
        frames: spec.frame_stack,
        vocabulary: &spec.vocabulary,
    }
}

/// The extractor of `config` for the observations of `spec`.
pub(crate) fn build_extractor(config: &ExtractorConfig, spec: &EnvSpec) -> Arc<BuildExtractor> {
    let (config, spec) = (config.clone(), spec.clone());
    Arc::new(move |scope, space| {
        let built = config.build(scope, &inputs(space, &spec));
        built.map_err(|e| e.under("extractor"))
    })
}

/// What another agent needs to begin with the extractor of `config` for the observations of `spec`.
pub(crate) fn handed_on(config: &ExtractorConfig, spec: &EnvSpec) -> Result<AgentFile> {
    let space = spec.observation_space();
    AgentFile::new(config, &inputs(&space, spec)).map_err(|e| e.under("extractor"))
}

/// What networks of one agent are built of.
#[derive(Clone)]
pub(crate) struct Blueprint {
    pub(crate) extractor: Arc<BuildExtractor>,
    pub(crate) head: HeadShape,
    pub(crate) passes: Passes,
    /// Space and scalar of the observations.
    pub(crate) space: Space,
    pub(crate) scalar: Scalar,
}

impl Blueprint {
    /// Declares the network in `scope`.
    fn declare(&self, scope: &mut Scope<'_>) -> Result<(Box<dyn FeatureExtractor>, Head)> {
        let extractor = (self.extractor)(&mut scope.sub("extractor"), &self.space)?;
        let head = Head::new(&self.head, &mut scope.sub("head"), extractor.width());
        Ok((extractor, head))
    }
}

impl fmt::Debug for Blueprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blueprint")
            .field("head", &self.head)
            .field("space", &self.space)
            .finish_non_exhaustive()
    }
}

/// Values of observations: `[batch, observation row] -> [batch, actions, atoms]`, and their means, the Q-values.
///
/// Weights are called `extractor.*` and `head.*`.
#[derive(Debug)]
pub(crate) struct QNetwork {
    blueprint: Blueprint,
    params: ParamStore,
    runner: Runner,
    input: Input,
    head: HeadShape,
    /// What actions are chosen by in an implicit head.
    policy_fractions: Option<Vec<f32>>,
    /// Outputs of the head, `[batch, rows, atoms]`.
    outputs: Vec<f32>,
    atoms: usize,
    /// `[batch, actions, atoms]`, if the head is dueling.
    joined: Vec<f32>,
    /// `[batch, actions]`, if there is more than one atom.
    q: Vec<f32>,
    d_outputs: Vec<f32>,
}

/// What computes the passes.
#[derive(Debug)]
enum Runner {
    /// Nothing but a chain of layers, on the processor.
    Chain(Chain),
    /// Everything else. The outputs of the last forward pass carry its graph.
    Graph {
        extractor: Box<dyn FeatureExtractor>,
        head: Head,
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
    /// A network on `device` whose first weights are drawn from `init`.
    pub(crate) fn new(blueprint: Blueprint, device: Device, init: Rng) -> Result<Self> {
        let built = ParamStore::build(device, init, |scope| blueprint.declare(scope))?;
        Self::assembled(blueprint, built)
    }

    /// A network of its own with the same weights.
    pub(crate) fn twin(&self) -> Result<Self> {
        let built = self.params.twin(|scope| self.blueprint.declare(scope))?;
        Self::assembled(self.blueprint.clone(), built)
    }

    fn assembled(
        blueprint: Blueprint,
        (params, (extractor, layers)): (ParamStore, (Box<dyn FeatureExtractor>, Head)),
    ) -> Result<Self> {
        let Blueprint {
            head,
            passes,
            space,
            scalar,
            ..
        } = &blueprint;
        let device = params.device();
        let input = match extractor.reads_tokens() {
            true => Input::tokens(space, *scalar, device)?,
            false => Input::floats(space, *scalar, device)?,
        };
        let chain = extractor
            .chain()
            .zip(head.chain(extractor.width() as usize))
            .filter(|_| device == Device::Cpu && *passes == Passes::Fast);
        let runner = match chain {
            Some((layers, behind)) => {
                Runner::Chain(Chain::new(&[layers, behind].concat(), &params))
            }
            None => Runner::Graph {
                extractor,
                head: layers,
                outputs: None,
            },
        };
        let zeros = Array::zeros_of(*scalar, 2, space.len());
        let mut network = Self {
            policy_fractions: head.config.policy_fractions(),
            head: head.clone(),
            blueprint,
            params,
            runner,
            input,
            outputs: Vec::new(),
            atoms: 1,
            joined: Vec::new(),
            q: Vec::new(),
            d_outputs: Vec::new(),
        };
        network.dry_run(&zeros)?;
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

    pub(crate) fn num_actions(&self) -> usize {
        self.head.actions
    }

    /// Makes the weights trainable.
    pub(crate) fn enable_gradients(&mut self) {
        self.params.enable_gradients();
    }

    /// Q-values `[batch, actions]` for acting and for choosing. Spoils what [`backward`](Self::backward) needs.
    pub(crate) fn q_values<'a>(&mut self, obs: impl Into<Columns<'a>>) -> &[f32] {
        let fractions = self.policy_fractions.take();
        self.run(
            obs.into(),
            fractions.as_deref().map(Fractions::of_all),
            false,
        );
        self.policy_fractions = fractions;
        self.means()
    }

    /// Values `[batch, actions, atoms]` for targets; at `fractions`, if the head is implicit. Spoils what
    /// [`backward`](Self::backward) needs.
    pub(crate) fn values(&mut self, obs: Columns<'_>, fractions: Option<Fractions<'_>>) -> &[f32] {
        self.run(obs, fractions, false);
        self.at_hand()
    }

    /// Values `[batch, actions, atoms]` that [`backward`](Self::backward) can follow.
    pub(crate) fn forward(&mut self, obs: Columns<'_>, fractions: Option<Fractions<'_>>) -> &[f32] {
        self.run(obs, fractions, true);
        self.at_hand()
    }

    /// Q-values `[batch, actions]` of the values computed last.
    pub(crate) fn means(&mut self) -> &[f32] {
        let values = if self.head.dueling {
            &self.joined
        } else {
            &self.outputs
        };
        if self.head.config.means(values, self.atoms, &mut self.q) {
            &self.q
        } else {
            values
        }
    }

    /// Values `[batch, actions, atoms]` computed last.
    pub(crate) fn at_hand(&self) -> &[f32] {
        if self.head.dueling {
            &self.joined
        } else {
            &self.outputs
        }
    }

    /// Computes the outputs and joins them.
    fn run(&mut self, obs: Columns<'_>, fractions: Option<Fractions<'_>>, learn: bool) {
        match &mut self.runner {
            Runner::Chain(chain) => {
                let outputs = chain.forward(self.input.encode(obs));
                self.outputs.clear();
                self.outputs.extend_from_slice(outputs);
            }
            Runner::Graph {
                extractor,
                head,
                outputs,
            } => {
                *outputs = None;
                let _guard = (!learn).then(no_grad_guard);
                let features = extractor.features(&self.input.tensor(obs), learn);
                let values = head.forward(&features, fractions);
                read(&values, &mut self.outputs);
                *outputs = learn.then_some(values);
            }
        }
        self.atoms = self.outputs.len() / (obs.rows() * self.head.rows());
        if self.head.dueling {
            let actions = self.head.actions;
            dueling(&self.outputs, actions, self.atoms, &mut self.joined);
        }
    }

    /// Draws new noise for noisy layers, which the passes from now on have.
    pub(crate) fn draw_noise(&mut self, rng: &mut Rng) {
        if let Runner::Graph { head, .. } = &mut self.runner {
            head.draw_noise(rng);
        }
    }

    /// Lets noisy layers give their means from now on.
    pub(crate) fn silence(&mut self) {
        if let Runner::Graph { head, .. } = &mut self.runner {
            head.silence();
        }
    }

    /// Writes the gradient of the weights, given that of the values of the last [`forward`](Self::forward).
    pub(crate) fn backward(&mut self, d_values: &[f32]) {
        let d_outputs = if self.head.dueling {
            dueling_gradient(d_values, self.head.actions, self.atoms, &mut self.d_outputs);
            &self.d_outputs
        } else {
            d_values
        };
        match &mut self.runner {
            Runner::Chain(chain) => chain.backward(d_outputs, &mut self.params),
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
        if let Runner::Chain(chain) = &mut self.runner {
            chain.refresh(&self.params);
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
        if let Runner::Graph { extractor, .. } = &self.runner
            && let Some(notes) = extractor.notes()
        {
            lines += &format!("{notes}\n");
        }
        let passes = match self.runner {
            Runner::Chain(_) => "fast passes for chains of layers",
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
