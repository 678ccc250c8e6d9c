//! What an agent has seen in `memory-chain` when it is asked.

use std::fmt::Write;

use anyhow::Result;
use thorndike_core::{EnvOptions, Seeds, SyncVectorEnv, VectorEnv};
use thorndike_envs::probe::{MemoryChain, MemoryChainConfig};

use super::folder::Folder;
use super::{Order, PARTS};

/// Columns of one step: time left, number of the bit asked for, the bits.
pub(super) fn features(order: &Order) -> usize {
    2 + order.bits as usize
}

/// A row an episode: the observation with `frame_stack = memory_length + 1` in the step whose action is heard, oldest
/// frame first, and the action that is then paid for. A model of these rows, read as `[steps, features]`, can look for
/// such an agent. Earlier steps are left out: nothing that is done in them counts.
///
/// With one bit there are no more than two different episodes, in both parts; more `--bits` make more of them.
pub(super) fn draw(order: &Order, out: &mut Folder<'_>) -> Result<()> {
    let config = MemoryChainConfig {
        memory_length: order.length as u32,
        num_bits: order.bits,
    };
    let frames = order.length + 1;
    let options = EnvOptions {
        frame_stack: frames,
        ..EnvOptions::default()
    };
    for (part, count) in PARTS.into_iter().zip(order.counts()) {
        let seeds = Seeds::new(order.seed).child(&format!("data/recall/{part}"), 0);
        let mut env = SyncVectorEnv::new(MemoryChain::new(&config)?, &options, seeds)?;
        let mut actions = env.new_actions();
        // The answer is always that the bit is 1: what it pays says whether it was.
        actions.as_mut_slice::<i32>()[0] = 1;
        env.reset();
        let mut text = String::new();
        for frame in 1..=frames {
            write!(text, "time{frame},query{frame},")?;
            for bit in 0..order.bits {
                write!(text, "bit{bit}_{frame},")?;
            }
        }
        text += "label\n";
        for _ in 0..count {
            loop {
                env.step(&actions);
                if env.batch().status[0].is_over() {
                    break;
                }
                env.advance();
            }
            for number in env.batch().obs.row::<f32>(0) {
                write!(text, "{number},")?;
            }
            text += if env.batch().rewards[0] > 0.0 {
                "1\n"
            } else {
                "0\n"
            };
            env.advance();
        }
        out.write(&format!("{part}.csv"), text.as_bytes())?;
    }
    Ok(())
}
