//! Time as a part of the observation.

use crate::array::{Array, Kind};
use crate::error::{Error, Result};
use crate::space::Space;
use crate::vector::{EnvSpec, unfit};

use super::{FrameLayer, Moment};

/// Puts behind each frame how far its episode is on the way to the time limit, so that what a truncated episode is
/// worth can be told from what is seen.
///
/// | scalar | item | space |
/// |---|---|---|
/// | `f32` | share of the limit, 0 to 1 | a vector becomes one longer; anything else a `Tuple` with a box of one |
/// | `u8` | share of the limit, 0 to 255, rounded down | a `Tuple` with a box of one |
/// | `i32` | environment steps | states become a `MultiDiscrete`; anything else a `Tuple` |
///
/// Repeated actions are counted in full, also where an episode ended on the way.
///
/// # Reference
/// Pardo et al., *Time Limits in Reinforcement Learning*, 2018, section 3.1.
pub(super) struct Time {
    limit: u32,
    action_repeat: u32,
    elapsed: Vec<u32>,
    shown: Array,
}

impl Time {
    pub(super) fn new(spec: &mut EnvSpec) -> Result<Self> {
        let limit = spec.time_limit.ok_or_else(|| {
            Error::config(
                "time_observation",
                "true, but the environment has no time limit; give time_limit",
            )
        })?;
        spec.frame_space = timed(&spec.frame_space, spec.obs_kind, limit);
        Ok(Self {
            limit,
            action_repeat: spec.action_repeat,
            elapsed: vec![0; spec.num_envs],
            shown: Array::zeros_of(spec.obs_kind, spec.num_envs, spec.frame_space.len()),
        })
    }
}

/// `space` with time behind it.
fn timed(space: &Space, kind: Kind, limit: u32) -> Space {
    let steps = limit as usize + 1;
    let share = |high| Space::Box {
        shape: vec![1],
        low: 0.0,
        high,
    };
    match (space, kind) {
        (Space::Box { shape, low, high }, Kind::F32) if shape.len() == 1 => Space::Box {
            shape: vec![shape[0] + 1],
            low: low.min(0.0),
            high: high.max(1.0),
        },
        (_, Kind::F32) => Space::Tuple(vec![space.clone(), share(1.0)]),
        (_, Kind::U8) => Space::Tuple(vec![space.clone(), share(255.0)]),
        (Space::Discrete(n), Kind::I32) => Space::MultiDiscrete(vec![*n, steps]),
        (Space::MultiDiscrete(sizes), Kind::I32) => {
            Space::MultiDiscrete([sizes.as_slice(), &[steps]].concat())
        }
        (_, Kind::I32) => Space::Tuple(vec![space.clone(), Space::Discrete(steps)]),
    }
}

impl FrameLayer for Time {
    fn show(&mut self, rows: &[usize], moment: Moment, frames: &Array) -> &Array {
        let last = frames.cols();
        for &row in rows {
            let elapsed = match moment {
                Moment::Start => 0,
                Moment::Step => self
                    .limit
                    .min(self.elapsed[row].saturating_add(self.action_repeat)),
            };
            self.elapsed[row] = elapsed;
            match frames.kind() {
                Kind::F32 => {
                    let shown = self.shown.row_mut::<f32>(row);
                    shown[..last].copy_from_slice(frames.row(row));
                    shown[last] = elapsed as f32 / self.limit as f32;
                }
                Kind::U8 => {
                    let shown = self.shown.row_mut::<u8>(row);
                    shown[..last].copy_from_slice(frames.row(row));
                    shown[last] = (u64::from(elapsed) * 255 / u64::from(self.limit)) as u8;
                }
                Kind::I32 => {
                    let shown = self.shown.row_mut::<i32>(row);
                    shown[..last].copy_from_slice(frames.row(row));
                    shown[last] = elapsed as i32;
                }
            }
        }
        &self.shown
    }

    fn save(&self) -> Result<Vec<u8>> {
        postcard::to_stdvec(&self.elapsed).map_err(|e| Error::Backend(Box::new(e)))
    }

    fn load(&mut self, bytes: &[u8]) -> Result<()> {
        let elapsed: Vec<u32> = postcard::from_bytes(bytes)
            .map_err(|e| unfit(format!("saved times cannot be read: {e}")))?;
        if elapsed.len() != self.elapsed.len() || elapsed.iter().any(|&t| t > self.limit) {
            return Err(unfit("saved times are not of these environments".into()));
        }
        self.elapsed = elapsed;
        Ok(())
    }
}
