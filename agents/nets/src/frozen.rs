//! An agent that looks through a frozen extractor.

use std::path::Path;

use tch::no_grad_guard;
use thorndike_core::{
    Actor, Agent, Array, BuildContext, EnvSpec, Exchange, Kind, Log, Mode, Result, Seeds, Space,
    Transitions,
};

use crate::params::to_vec;
use crate::{ExtractorConfig, FeatureExtractor, Input, Inputs, ParamStore, find_device};

/// File of the extractor's weights, beside those of the agent.
const WEIGHTS: &str = "extractor.safetensors";

/// An agent, behind a pretrained extractor if its configuration has one that never changes.
///
/// *Design.* Features of an observation are then always the same, so they are computed once, when it is seen, and the agent
/// and its replay know nothing else: an update runs the agent's head alone.
#[derive(Debug)]
pub struct Frozen<A> {
    eyes: Option<Eyes>,
    agent: A,
}

impl<A: Agent> Frozen<A> {
    /// The agent that `make` builds from `config`, whose extractor `of` finds.
    ///
    /// # Errors
    /// Those of `make`, and those of reading the model.
    pub fn new<C: Clone>(
        config: &C,
        ctx: &BuildContext<'_>,
        of: impl Fn(&mut C) -> &mut ExtractorConfig,
        make: impl Fn(&C, &BuildContext<'_>) -> Result<A>,
    ) -> Result<Self> {
        let mut inner = config.clone();
        let extractor = of(&mut inner);
        let Some([seen_by, rest]) = extractor.behind_frozen() else {
            return Ok(Self {
                eyes: None,
                agent: make(config, ctx)?,
            });
        };
        *extractor = rest;
        let eyes = Eyes::new(&seen_by, ctx).map_err(|e| e.under("extractor"))?;
        let shape: Vec<usize> = eyes.extractor.shape().iter().map(|&n| n as usize).collect();
        let spec = EnvSpec {
            frame_space: Space::unbounded(&shape),
            obs_kind: Kind::F32,
            frame_stack: 1,
            ..ctx.spec.clone()
        };
        let agent = make(
            &inner,
            &BuildContext {
                spec: &spec,
                ..*ctx
            },
        )?;
        Ok(Self {
            eyes: Some(eyes),
            agent,
        })
    }
}

/// The extractor, and room for what it sees.
#[derive(Debug)]
struct Eyes {
    config: ExtractorConfig,
    spec: EnvSpec,
    params: ParamStore,
    extractor: Box<dyn FeatureExtractor>,
    input: Input,
    obs: Array,
    /// `obs` is what was acted on last.
    acted: bool,
    next_obs: Array,
    /// `next_obs` is what comes next: no episode has ended. With as many rows, and each its own sum, it is bit for bit what
    /// would be computed then.
    goes_on: bool,
}

impl Eyes {
    fn new(config: &ExtractorConfig, ctx: &BuildContext<'_>) -> Result<Self> {
        let device = find_device(ctx.device)?;
        let space = ctx.spec.observation_space();
        let reads = Inputs {
            space: &space,
            frames: ctx.spec.frame_stack,
            vocabulary: &ctx.spec.vocabulary,
        };
        let rng = Seeds::new(0).stream("agent/init", 0);
        let (params, extractor) = ParamStore::build(device, rng, |scope| {
            config.build(&mut scope.sub("extractor"), &reads)
        })?;
        let nothing = Array::zeros::<f32>(0, extractor.width() as usize);
        Ok(Self {
            config: config.clone(),
            spec: ctx.spec.clone(),
            input: match extractor.reads_tokens() {
                true => Input::tokens(&space, ctx.spec.obs_kind, device)?,
                false => Input::floats(&space, ctx.spec.obs_kind, device)?,
            },
            params,
            extractor,
            obs: nothing.clone(),
            acted: false,
            next_obs: nothing,
            goes_on: false,
        })
    }

    /// Sets `obs` to the features of what is acted on while learning.
    fn look(&mut self, obs: &Array) {
        if self.goes_on {
            std::mem::swap(&mut self.obs, &mut self.next_obs);
            self.goes_on = false;
        } else {
            self.obs = self.see(obs);
        }
    }

    /// Features of `obs`.
    fn see(&mut self, obs: &Array) -> Array {
        let _guard = no_grad_guard();
        let features = self.extractor.features(&self.input.tensor(obs), false);
        Array::from_vec(
            to_vec(&features.contiguous()),
            self.extractor.width() as usize,
        )
    }
}

impl<A: Agent> Actor for Frozen<A> {
    fn act(&mut self, obs: &Array, mode: Mode, actions: &mut Array) {
        match &mut self.eyes {
            None => self.agent.act(obs, mode, actions),
            Some(eyes) if mode == Mode::Explore => {
                eyes.look(obs);
                eyes.acted = true;
                self.agent.act(&eyes.obs, mode, actions);
            }
            Some(eyes) => self.agent.act(&eyes.see(obs), mode, actions),
        }
    }

    fn begin(&mut self, starts: &[bool], mode: Mode) {
        self.agent.begin(starts, mode);
    }
}

impl<A: Agent> Agent for Frozen<A> {
    fn observe(&mut self, transitions: &Transitions<'_>) {
        let Some(eyes) = &mut self.eyes else {
            return self.agent.observe(transitions);
        };
        // A copy of this may have acted in its place.
        if !std::mem::take(&mut eyes.acted) {
            eyes.look(transitions.obs);
        }
        eyes.next_obs = eyes.see(transitions.next_obs);
        eyes.goes_on = !transitions.status.iter().any(|status| status.is_over());
        self.agent.observe(&Transitions {
            obs: &eyes.obs,
            next_obs: &eyes.next_obs,
            ..*transitions
        });
    }

    fn update(&mut self, log: &mut Log<'_>) -> Result<()> {
        self.agent.update(log)
    }

    fn save(&self, dir: &Path) -> Result<()> {
        if let Some(eyes) = &self.eyes {
            eyes.params.save(&dir.join(WEIGHTS))?;
        }
        self.agent.save(dir)
    }

    fn load(&mut self, dir: &Path) -> Result<()> {
        if let Some(eyes) = &mut self.eyes {
            eyes.params.load(&dir.join(WEIGHTS))?;
            (eyes.acted, eyes.goes_on) = (false, false);
        }
        self.agent.load(dir)
    }

    fn load_policy(&mut self, dir: &Path) -> Result<()> {
        if let Some(eyes) = &mut self.eyes {
            eyes.params.load(&dir.join(WEIGHTS))?;
        }
        self.agent.load_policy(dir)
    }

    /// Of the agent behind: what is frozen is the same everywhere.
    fn exchange(&mut self) -> Option<&mut dyn Exchange> {
        self.agent.exchange()
    }

    fn policy(&self, number: u64) -> Option<Box<dyn Actor>> {
        let policy = self.agent.policy(number)?;
        let Some(eyes) = &self.eyes else {
            return Some(policy);
        };
        let ctx = BuildContext {
            spec: &eyes.spec,
            seeds: Seeds::new(0),
            device: match eyes.params.device() {
                tch::Device::Cuda(n) => thorndike_core::Device::Cuda(n),
                _ => thorndike_core::Device::Cpu,
            },
        };
        let mut own = Eyes::new(&eyes.config, &ctx).ok()?;
        own.params.copy_from(&eyes.params);
        Some(Box::new(Seeing { eyes: own, policy }))
    }

    fn memory(&self) -> u64 {
        let eyes = self.eyes.as_ref().map_or(0, |eyes| eyes.params.bytes());
        self.agent.memory() + eyes
    }

    fn describe(&self) -> String {
        let eyes = self.eyes.as_ref().map(|eyes| {
            let from = eyes.config.frozen_from().unwrap_or(Path::new(""));
            format!(
                "{} features, seen by the frozen model of {}\n",
                eyes.extractor.width(),
                from.display()
            )
        });
        eyes.unwrap_or_default() + &self.agent.describe()
    }
}

/// A copy of what acts.
struct Seeing {
    eyes: Eyes,
    policy: Box<dyn Actor>,
}

impl Actor for Seeing {
    fn act(&mut self, obs: &Array, mode: Mode, actions: &mut Array) {
        let features = self.eyes.see(obs);
        self.policy.act(&features, mode, actions);
    }

    fn begin(&mut self, starts: &[bool], mode: Mode) {
        self.policy.begin(starts, mode);
    }
}
