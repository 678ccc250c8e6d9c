//! Speed of BERT: `cargo bench -p thorndike-nets --bench text [-- PART ..]`, where parts of names choose lines. Two
//! threads and the time of the wall; `scripts/peers_text.py` measures the same in `transformers`.
//!
//! The floor is the arithmetic of the matrix products over the speed of a large one on as many threads, measured here and
//! now.

use std::hint::black_box;
use std::time::Instant;

use tch::{Device, Kind, Tensor};
use thorndike_core::rand::RngExt;
use thorndike_core::{Seeds, Space};
use thorndike_nets::models::{Bert, BertConfig, LanguageHead, Precision};
use thorndike_nets::{
    AdamConfig, FeatureExtractor, Inputs, OptimConfig, Optimizer, ParamStore, keep_freed_memory,
    use_threads,
};

const WORDS: usize = 30_522;
const THREADS: usize = 2;

fn main() {
    keep_freed_memory();
    use_threads(THREADS);
    let peak = peak_gflops();
    let mini = BertConfig {
        hidden_size: 256,
        num_hidden_layers: 4,
        num_attention_heads: 4,
        intermediate_size: 1024,
        ..BertConfig::default()
    };
    for (precision, suffix) in [(Precision::F32, ""), (Precision::Bf16, "-bf16")] {
        let mini = BertConfig {
            precision,
            ..mini.clone()
        };
        masked(&format!("text-masked-mini-16x128{suffix}"), &mini, peak);
        let base = BertConfig {
            precision,
            ..BertConfig::default()
        };
        forward(&format!("text-forward-base-8x128{suffix}"), &base, peak);
    }
}

/// Tokens `[batch, time]`, none of them special.
fn tokens(batch: i64, time: i64) -> Tensor {
    let mut rng = Seeds::new(1).stream("bench", 0);
    let draw = |_| rng.random_range(1000..WORDS as i64);
    let all: Vec<i64> = (0..batch * time).map(draw).collect();
    Tensor::from_slice(&all).view([batch, time])
}

/// Multiply-adds of the encoder for one token in a sequence of `time`.
fn products(config: &BertConfig, time: usize) -> usize {
    let (hidden, wide) = (config.hidden_size, config.intermediate_size);
    config.num_hidden_layers * (4 * hidden * hidden + 2 * hidden * wide + 2 * time * hidden)
}

/// A step of learning masked words and next sentences: 15 % of the words are asked for.
fn masked(name: &str, config: &BertConfig, peak: f64) {
    if !is_wanted(name) {
        return;
    }
    let (batch, time) = (16, 128);
    let space = Space::MultiDiscrete(vec![WORDS; time]);
    let rng = Seeds::new(1).stream("agent/init", 0);
    let (mut params, (bert, head)) = ParamStore::build(Device::Cpu, rng, |scope| {
        let bert = Bert::new(config, &mut scope.sub("extractor"), &Inputs::of(&space))?;
        let head = LanguageHead::new(&mut scope.sub("head"), &bert)?;
        Ok((bert, head))
    })
    .expect("a config of this file");
    params.enable_gradients();
    let optimizer = OptimConfig::AdamW(AdamConfig {
        weight_decay: 0.01,
        decay_vectors: false,
        ..AdamConfig::default()
    });
    let mut optimizer = Optimizer::new(&optimizer, &params).expect("published settings");
    let x = tokens(batch as i64, time as i64);
    let segments = x.zeros_like();
    let asked = Tensor::arange_start_step(
        0,
        (batch * time) as i64,
        7, // Of 128 positions 18 or 19.
        (Kind::Int64, Device::Cpu),
    );
    let words = x.flatten(0, 1).index_select(0, &asked);
    let next = Tensor::zeros([batch as i64], (Kind::Int64, Device::Cpu));
    let decoded = asked.numel() * config.hidden_size * (WORDS + config.hidden_size);
    let flop = 6 * (batch * time * products(config, time) + decoded);
    let mut pass = 0;
    line(name, batch * time, flop as f64, peak, || {
        params.draw_for(pass);
        pass += 1;
        params.zero_gradient();
        let hidden = bert.encode(&x, &segments, None, true);
        let scores = head.words(&hidden.flatten(0, 1).index_select(0, &asked), &bert);
        let loss = scores.cross_entropy_for_logits(&words)
            + head
                .next(&bert.pool(&hidden))
                .cross_entropy_for_logits(&next);
        loss.backward();
        params.clip_gradient(1.0);
        optimizer.step(&mut params, 0);
    });
}

fn forward(name: &str, config: &BertConfig, peak: f64) {
    if !is_wanted(name) {
        return;
    }
    let (batch, time) = (8, 128);
    let space = Space::MultiDiscrete(vec![WORDS; time]);
    let rng = Seeds::new(1).stream("agent/init", 0);
    let (_params, bert) = ParamStore::build(Device::Cpu, rng, |scope| {
        Bert::new(config, &mut scope.sub("extractor"), &Inputs::of(&space))
    })
    .expect("a config of this file");
    let x = tokens(batch as i64, time as i64);
    let flop = 2 * batch * time * products(config, time);
    line(name, batch * time, flop as f64, peak, || {
        let _ = black_box(tch::no_grad(|| bert.features(&x, false)));
    });
}

/// Whether the arguments ask for `name`: one of them is a part of it, or there are none.
fn is_wanted(name: &str) -> bool {
    let mut parts = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"))
        .peekable();
    parts.peek().is_none() || parts.any(|part| name.contains(&part))
}

/// Times `work` on so many tokens and prints a line; the best of some rounds, as other programs only ever make it slower.
fn line(name: &str, tokens: usize, flop: f64, peak: f64, mut work: impl FnMut()) {
    const ROUNDS: usize = 8;
    work();
    let mut rates: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let (start, mut calls) = (Instant::now(), 0);
            while start.elapsed().as_secs_f64() < 1.0 {
                work();
                calls += 1;
            }
            (tokens * calls) as f64 / start.elapsed().as_secs_f64()
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    let (best, median) = (rates[ROUNDS - 1], rates[ROUNDS / 2]);
    let floor = tokens as f64 * peak * 1e9 / flop;
    println!(
        "bench {name} {best:.0} tokens/s floor {floor:.0} tokens/s {:.1} Gflop a step at {peak:.0} Gflop/s, {THREADS} threads, best of {ROUNDS} rounds, median {median:.0}",
        flop / 1e9
    );
}

/// Billions of floating-point operations a second in a matrix product that fits the cache.
fn peak_gflops() -> f64 {
    const N: i64 = 1024;
    let a = Tensor::ones([N, N], (Kind::Float, Device::Cpu));
    let speeds = (0..30).map(|_| {
        let start = Instant::now();
        let _ = black_box(a.mm(&a));
        2.0 * (N * N * N) as f64 / start.elapsed().as_secs_f64() / 1e9
    });
    speeds.fold(0.0, f64::max)
}
