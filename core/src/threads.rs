//! Environments stepped on several threads.
//!
//! A batch is cut into parts, one a thread, the caller's thread among them. A part is handed over by a flag: no
//! channel, no allocation, and a lock that nobody else holds. Rows have their own random streams, so the number of
//! threads changes no number.

use std::any::Any;
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use crate::array::Array;
use crate::env::{Env, Status};
use crate::error::{Error, Result};
use crate::picture::Picture;
use crate::seed::Seeds;
use crate::vector::{
    Batch, EnvOptions, EnvSpec, Rows, SyncVectorEnv, VectorEnv, join_rows, split_rows,
};

/// Work of a step from which one more thread is tried. A hand-over was measured at 1 µs to a thread that is awake and
/// 13 µs to one that sleeps (`benches/wrap.rs`, two shared cores).
const WORTH: Duration = Duration::from_micros(50);
/// How long a measurement takes at most, and in how many steps.
const MEASURE: Duration = Duration::from_millis(1);
const MEASURE_STEPS: usize = 64;
/// Turns of waiting before a thread goes to sleep: some microseconds.
const SPINS: u32 = 200;

/// Environments under the rules `env`, on `options.threads` threads.
///
/// # Errors
/// As those of [`SyncVectorEnv::new`].
pub(crate) fn on_threads<E: Env + 'static>(
    env: E,
    options: &EnvOptions,
    seeds: Seeds,
) -> Result<Box<dyn VectorEnv>> {
    options.check()?;
    let env = Arc::new(env);
    let threads = match options.threads {
        Some(threads) => threads.min(options.num_envs),
        None => worthwhile(&env, options, seeds.child("threads", 0))?,
    };
    if threads == 1 {
        let env = Arc::into_inner(env).expect("a measurement leaves nothing behind");
        return Ok(Box::new(SyncVectorEnv::new(env, options, seeds)?));
    }
    Ok(Box::new(shared_out(&env, options, seeds, threads)?))
}

fn shared_out<E: Env + 'static>(
    env: &Arc<E>,
    options: &EnvOptions,
    seeds: Seeds,
    threads: usize,
) -> Result<Threaded> {
    Threaded::new(options.num_envs, threads, |rows| {
        let options = EnvOptions {
            num_envs: rows.len(),
            ..options.clone()
        };
        let part = SyncVectorEnv::part(env.clone(), &options, seeds, rows.start)?;
        Ok(Box::new(part) as Box<dyn Rows>)
    })
}

/// Threads that pay off here and now: each must have [`WORTH`] to do, and together they must be faster than one.
fn worthwhile<E: Env + 'static>(env: &Arc<E>, options: &EnvOptions, seeds: Seeds) -> Result<usize> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if options.num_envs == 1 || cores == 1 {
        return Ok(1);
    }
    let few = EnvOptions {
        num_envs: options.num_envs.min(8),
        ..options.clone()
    };
    let step = step_time(
        &mut SyncVectorEnv::new(env.clone(), &few, seeds)?,
        seeds,
        MEASURE,
    );
    let all = step.mul_f64(options.num_envs as f64 / few.num_envs as f64);
    let threads = (all.as_secs_f64() / WORTH.as_secs_f64()) as usize;
    let threads = threads.clamp(1, cores.min(options.num_envs));
    if threads == 1 {
        return Ok(1);
    }
    let together = step_time(
        &mut shared_out(env, options, seeds, threads)?,
        seeds,
        MEASURE,
    );
    Ok(if together < all { threads } else { 1 })
}

/// What a step of `envs` takes: the median of a short measurement with random actions, which other work on the machine
/// disturbs least.
fn step_time(envs: &mut dyn VectorEnv, seeds: Seeds, most: Duration) -> Duration {
    let space = envs.spec().action_space.clone();
    let mut actions = envs.new_actions();
    let mut rng = seeds.stream("actions", 0);
    let begin = Instant::now();
    let mut times = Vec::with_capacity(MEASURE_STEPS);
    // Once at least, also where other work takes all the time there is.
    while times.is_empty() || times.len() < MEASURE_STEPS && begin.elapsed() < most {
        for row in 0..actions.rows() {
            space.sample(&mut rng, &mut actions, row);
        }
        let start = Instant::now();
        envs.step(&actions);
        envs.advance();
        times.push(start.elapsed());
    }
    times.sort();
    times[times.len() / 2]
}

/// Whose turn it is with a part: the caller's, or a thread's with this job.
const CALLER: u8 = 0;
const STEP: u8 = 1;
const ADVANCE: u8 = 2;
const QUIT: u8 = 3;

/// Some rows of a batch, and the flag by which they are handed over.
struct Part {
    turn: AtomicU8,
    /// Nobody waits for this lock: it is taken by the one whose turn it is.
    body: Mutex<Body>,
    rows: Range<usize>,
}

struct Body {
    envs: Box<dyn Rows>,
    actions: Array,
    /// Who waits for the end of the job.
    caller: Thread,
    /// With what the job panicked.
    panic: Option<Box<dyn Any + Send>>,
}

impl Part {
    /// A panic of an environment on its thread goes on here, on the caller's.
    fn body(&self) -> MutexGuard<'_, Body> {
        let mut body = self.body.lock().expect("an environment panicked before");
        match body.panic.take() {
            Some(panic) => resume_unwind(panic),
            None => body,
        }
    }

    /// Gives the turn to the thread.
    fn hand_over(&self, job: u8, thread: &Thread) {
        self.turn.store(job, Ordering::Release);
        thread.unpark();
    }

    /// Waits until the turn is, or is not, the caller's, and says what it is.
    fn wait(&self, callers: bool) -> u8 {
        let mut spins = 0;
        loop {
            let turn = self.turn.load(Ordering::Acquire);
            if (turn == CALLER) == callers {
                return turn;
            }
            if spins < SPINS {
                spins += 1;
                std::hint::spin_loop();
            } else {
                std::thread::park();
            }
        }
    }

    /// What a thread does all its life.
    fn serve(&self) {
        loop {
            let job = self.wait(false);
            if job == QUIT {
                return;
            }
            // Gives the turn back whatever happens.
            let _turn = GiveBack(self, self.body().caller.clone());
            let mut body = self.body();
            body.panic = catch_unwind(AssertUnwindSafe(|| body.work(job))).err();
        }
    }
}

struct GiveBack<'a>(&'a Part, Thread);

impl Drop for GiveBack<'_> {
    fn drop(&mut self) {
        self.0.turn.store(CALLER, Ordering::Release);
        self.1.unpark();
    }
}

impl Body {
    fn work(&mut self, job: u8) {
        if job == STEP {
            self.envs.step(&self.actions);
        } else {
            self.envs.advance();
        }
    }
}

/// A batch in parts, each but the first with a thread of its own.
struct Threaded {
    spec: EnvSpec,
    batch: Batch,
    parts: Vec<Arc<Part>>,
    /// The threads of all parts but the first, which is the caller's.
    threads: Vec<JoinHandle<()>>,
}

impl Threaded {
    fn new(
        num_envs: usize,
        threads: usize,
        make: impl Fn(Range<usize>) -> Result<Box<dyn Rows>>,
    ) -> Result<Self> {
        let mut parts = Vec::with_capacity(threads);
        for i in 0..threads {
            let rows = i * num_envs / threads..(i + 1) * num_envs / threads;
            let envs = make(rows.clone())?;
            parts.push(Arc::new(Part {
                turn: AtomicU8::new(CALLER),
                body: Mutex::new(Body {
                    actions: envs.new_actions(),
                    envs,
                    caller: std::thread::current(),
                    panic: None,
                }),
                rows,
            }));
        }
        let mut spec = parts[0].body().envs.spec().clone();
        spec.num_envs = num_envs;
        let obs = Array::zeros_of(spec.obs_kind, num_envs, spec.observation_space().len());
        let mut this = Self {
            batch: Batch {
                next_obs: obs.clone(),
                obs,
                rewards: vec![0.0; num_envs],
                status: vec![Status::Running; num_envs],
            },
            spec,
            parts,
            threads: Vec::with_capacity(threads - 1),
        };
        for part in &this.parts[1..] {
            let part = part.clone();
            let spawned = std::thread::Builder::new()
                .name("environments".into())
                .spawn(move || part.serve());
            this.threads
                .push(spawned.map_err(|e| Error::Backend(Box::new(e)))?);
        }
        this.show();
        Ok(this)
    }

    /// Has `job` done in all parts that `wants` says, one of them on this thread.
    fn work(&self, job: u8, wants: impl Fn(usize, &mut Body) -> bool) {
        let mut own = None;
        for (i, part) in self.parts.iter().enumerate() {
            let mut body = part.body();
            if !wants(i, &mut body) {
                continue;
            }
            if i == 0 {
                own = Some(body);
                continue;
            }
            body.caller.clone_from(&std::thread::current());
            drop(body);
            part.hand_over(job, self.threads[i - 1].thread());
        }
        if let Some(mut body) = own {
            body.work(job);
        }
        for part in &self.parts[1..] {
            part.wait(true);
        }
    }

    /// Copies the current observations of all parts.
    fn show(&mut self) {
        for part in &self.parts {
            let body = part.body();
            let obs = &body.envs.batch().obs;
            self.batch.obs.copy_rows(part.rows.start, obs);
        }
    }

    /// The part of environment `index`, and its number there.
    fn place(&self, index: usize) -> (&Part, usize) {
        let part = self.parts.partition_point(|part| part.rows.end <= index);
        let part = &self.parts[part];
        (part, index - part.rows.start)
    }
}

impl VectorEnv for Threaded {
    fn spec(&self) -> &EnvSpec {
        &self.spec
    }

    fn batch(&self) -> &Batch {
        &self.batch
    }

    fn reset(&mut self) {
        for part in &self.parts {
            part.body().envs.reset();
        }
        self.show();
        self.batch.status.fill(Status::Running);
    }

    fn step(&mut self, actions: &Array) {
        self.work(STEP, |i, body| {
            for (own, row) in self.parts[i].rows.clone().enumerate() {
                body.actions.copy_row(own, actions, row);
            }
            true
        });
        for part in &self.parts {
            let body = part.body();
            let batch = body.envs.batch();
            self.batch
                .next_obs
                .copy_rows(part.rows.start, &batch.next_obs);
            self.batch.rewards[part.rows.clone()].copy_from_slice(&batch.rewards);
            self.batch.status[part.rows.clone()].copy_from_slice(&batch.status);
        }
    }

    fn advance(&mut self) {
        // Where no episode starts anew there is nothing to be shared out.
        self.work(ADVANCE, |i, body| {
            let mut status = self.batch.status[self.parts[i].rows.clone()].iter();
            let starts = status.any(|status| status.is_over());
            if !starts {
                body.envs.advance();
            }
            starts
        });
        for part in &self.parts {
            let body = part.body();
            for (own, row) in part.rows.clone().enumerate() {
                if self.batch.status[row].is_over() {
                    self.batch
                        .next_obs
                        .copy_row(row, &body.envs.batch().obs, own);
                }
            }
        }
        std::mem::swap(&mut self.batch.obs, &mut self.batch.next_obs);
    }

    fn save(&self) -> Result<Vec<u8>> {
        let parts = self.parts.iter().map(|part| part.body().envs.save_rows());
        join_rows(&parts.collect::<Result<Vec<_>>>()?.concat())
    }

    fn load(&mut self, bytes: &[u8]) -> Result<()> {
        let rows = split_rows(bytes, self.spec.num_envs)?;
        for part in &self.parts {
            part.body().envs.load_rows(&rows[part.rows.clone()])?;
        }
        self.show();
        self.batch.rewards.fill(0.0);
        self.batch.status.fill(Status::Running);
        Ok(())
    }

    fn action_mask(&self, index: usize, mask: &mut [bool]) {
        let (part, own) = self.place(index);
        part.body().envs.action_mask(own, mask);
    }

    fn render(&self, index: usize) -> Option<String> {
        let (part, own) = self.place(index);
        part.body().envs.render(own)
    }

    fn draw(&self, index: usize) -> Option<Picture> {
        let (part, own) = self.place(index);
        part.body().envs.draw(own)
    }
}

impl Drop for Threaded {
    fn drop(&mut self) {
        for (part, thread) in self.parts[1..].iter().zip(self.threads.drain(..)) {
            // After a panic on this thread a job may still be under way.
            while part.turn.load(Ordering::Acquire) != CALLER {
                std::thread::yield_now();
            }
            part.hand_over(QUIT, thread.thread());
            // A panic of its environments was the caller's to see.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Threaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threaded")
            .field("spec", &self.spec)
            .field("threads", &self.parts.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prelude::*;

    struct Coin;

    impl Env for Coin {
        type State = ();
        type Obs = i32;
        type Action = usize;
        fn observation_space(&self) -> Space {
            Space::Discrete(2)
        }
        fn action_space(&self) -> Space {
            Space::Discrete(2)
        }
        fn reset(&self, _: &mut Rng) {}
        fn step(&self, (): &mut (), action: usize, _: &mut Rng) -> Step {
            Step::terminal(action as f32)
        }
        fn observe(&self, (): &(), obs: &mut [i32]) {
            obs[0] = 1;
        }
    }

    #[test]
    fn a_step_is_measured_though_other_work_takes_all_the_time() {
        let seeds = Seeds::new(1);
        let mut envs = SyncVectorEnv::new(Coin, &EnvOptions::default(), seeds).unwrap();
        assert!(step_time(&mut envs, seeds, Duration::ZERO) < Duration::from_secs(10));
    }
}
