//! Environment steps a second through [`SyncVectorEnv`], on one thread, resets included.
//!
//! `cargo bench -p thorndike-envs --bench steps` prints, for each environment and number of rows, the best of
//! many short runs, the floor, and the median. The best run is the speed of a core that does nothing else;
//! the median includes whatever else the machine was doing. Random actions were drawn before and are used
//! in turn.
//!
//! The floor is the arithmetic of one step over the peak of the core: its clock, measured here, times what it
//! can do in a cycle. It leaves out all that moves numbers: states that lie row by row and are worked on in
//! lanes, look-ups, divisions that take longer than a multiplication, observations, and resets.

use std::hint::black_box;
use std::time::Instant;

use thorndike_core::{Array, Env, EnvOptions, Seeds, SyncVectorEnv, VectorEnv};
use thorndike_envs::arcade::{self, Game, MinAtar};
use thorndike_envs::minigrid::{self, Level, MiniGrid};
use thorndike_envs::{box2d, classic, grid};

/// Steps in a run: 1 to 3 ms, less than a time slice of the operating system.
const STEPS: usize = 1 << 16;
/// The same where a step takes microseconds.
const LONG_STEPS: usize = 1 << 8;
const RUNS: usize = 600;
/// Arrays of actions, used in turn.
const RING: usize = 64;

/// The floor of one step.
struct Floor {
    cycles: f64,
    why: &'static str,
}

/// 26 operations of the equations of motion, and 25 for each of sine and cosine.
const CART_POLE: Floor = Floor {
    cycles: 76.0 / 16.0,
    why: "76 f64 operations, 16 a cycle (two 4-wide multiply-adds)",
};
/// Four times 40 operations of the equations of motion, 9 of each of three squares, 12 of the move, and
/// 25 for each of a sine and three cosines; 25 for each of five sines and cosines of the end and what is observed.
const ACROBOT: Floor = Floor {
    cycles: (4.0 * (40.0 + 27.0 + 12.0 + 100.0) + 150.0) / 16.0,
    why: "866 f64 operations, 16 a cycle (two 4-wide multiply-adds)",
};
/// 25 operations of move and cost, and 25 for each of sine and cosine.
const PENDULUM: Floor = Floor {
    cycles: 75.0 / 16.0,
    why: "75 f64 operations, 16 a cycle",
};
/// 16 operations of the equation of motion and its limits, and 70 of a cosine at any angle.
const MOUNTAIN_CAR: Floor = Floor {
    cycles: 86.0 / 16.0,
    why: "86 f64 operations, 16 a cycle (two 4-wide multiply-adds)",
};
/// ChaCha8 takes 384 operations for 64 bytes, of which a draw uses 8.
const SLIPPERY: Floor = Floor {
    cycles: 48.0 / 16.0 + 16.0 / 4.0,
    why: "48 u32 operations of the generator, 16 a cycle; 16 of the look-up, 4 a cycle",
};
const SURE: Floor = Floor {
    cycles: 16.0 / 4.0,
    why: "16 operations of the look-up, 4 a cycle",
};
/// Cells of the view lie in the grid in any of four directions, so they are read one by one; what is written lies
/// in rows.
const VIEW: Floor = Floor {
    cycles: 49.0 / 2.0 + 161.0 / 16.0,
    why: "49 cells read, 2 a cycle; 161 bytes written, 16 a cycle",
};
/// 100 bytes a plane, and the draw for sticky buttons as above; moving a few cells is nothing beside them.
fn planes<G: Game>() -> Floor {
    Floor {
        cycles: 100.0 * G::CHANNELS.len() as f64 / 32.0 + 48.0 / 16.0,
        why: "the bytes of the observation, 32 a cycle; 48 u32 operations of the generator, 16 a cycle",
    }
}

/// 180 iterations on two hinges: 11 operations of the motor, 11 of the drift, 44 to solve for pin and limit, and
/// 20 to apply them. All else is small, and no contact is counted.
const LANDER: Floor = Floor {
    cycles: 180.0 * 2.0 * 86.0 / 32.0,
    why: "30,960 f32 operations of the hinges, 32 a cycle (two 8-wide multiply-adds)",
};

fn main() {
    let clock = clock();
    let cart_pole = || classic::CartPole::new(&Default::default()).expect("defaults are sound");
    let car = || classic::MountainCar::new(&Default::default()).expect("defaults are sound");
    for num_envs in [1024, 64, 1] {
        report("cart-pole", cart_pole(), num_envs, clock, &CART_POLE);
        report("mountain-car", car(), num_envs, clock, &MOUNTAIN_CAR);
    }
    let acrobot = || classic::Acrobot::new(&Default::default()).expect("defaults are sound");
    let pendulum = || classic::Pendulum::new(&Default::default()).expect("defaults are sound");
    for num_envs in [1024, 64, 1] {
        report("acrobot", acrobot(), num_envs, clock, &ACROBOT);
        report("pendulum", pendulum(), num_envs, clock, &PENDULUM);
    }
    let lake = || grid::FrozenLake::new(&Default::default()).expect("defaults are sound");
    let taxi = || grid::Taxi::new(&Default::default()).expect("defaults are sound");
    for num_envs in [1024, 1] {
        report("frozen-lake", lake(), num_envs, clock, &SLIPPERY);
        report("taxi", taxi(), num_envs, clock, &SURE);
    }
    let lander = || box2d::LunarLander::new(&Default::default()).expect("defaults are sound");
    for num_envs in [64, 1] {
        report("lunar-lander", lander(), num_envs, clock, &LANDER);
    }
    report_game::<arcade::Asterix>("minatar-asterix", clock);
    report_game::<arcade::Breakout>("minatar-breakout", clock);
    report_game::<arcade::Freeway>("minatar-freeway", clock);
    report_game::<arcade::Seaquest>("minatar-seaquest", clock);
    report_game::<arcade::SpaceInvaders>("minatar-space-invaders", clock);
    report_level::<minigrid::Empty>("minigrid-empty", clock);
    report_level::<minigrid::DoorKey>("minigrid-door-key", clock);
}

fn report_game<G: Game>(name: &str, clock: f64) {
    let env = || MinAtar::<G>::new(&Default::default()).expect("defaults are sound");
    for num_envs in [64, 1] {
        report(name, env(), num_envs, clock, &planes::<G>());
    }
}

fn report_level<L: Level + Clone + Default + 'static>(name: &str, clock: f64) {
    let env = || MiniGrid::new(&L::default()).expect("defaults are sound");
    for num_envs in [1024, 64, 1] {
        report(name, env(), num_envs, clock, &VIEW);
    }
}

fn report<E: Env>(name: &str, env: E, num_envs: usize, clock: f64, floor: &Floor) {
    let long = floor.cycles > 500.0;
    let speeds = measure(env, num_envs, if long { LONG_STEPS } else { STEPS });
    let (best, median) = (speeds[RUNS - 1], speeds[RUNS / 2]);
    println!(
        "bench {name}/{num_envs} {:.2} Msteps/s floor {:.1} Msteps/s median {:.2}; floor: {} at {:.2} GHz",
        best / 1e6,
        clock / floor.cycles / 1e6,
        median / 1e6,
        floor.why,
        clock / 1e9,
    );
}

/// Steps a second of each run, slowest first.
fn measure<E: Env>(env: E, num_envs: usize, steps: usize) -> Vec<f64> {
    let options = EnvOptions {
        num_envs,
        ..Default::default()
    };
    let mut envs = SyncVectorEnv::new(env, &options, Seeds::new(1)).expect("options are in range");
    let space = envs.spec().action_space.clone();
    let mut rng = Seeds::new(2).stream("bench", 0);
    let ring: Vec<Array> = (0..RING)
        .map(|_| {
            let mut actions = envs.new_actions();
            (0..num_envs).for_each(|row| space.sample(&mut rng, &mut actions, row));
            actions
        })
        .collect();
    let mut speeds: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            for actions in ring.iter().cycle().take(steps / num_envs) {
                envs.step(actions);
                black_box(envs.batch());
                envs.advance();
            }
            steps as f64 / start.elapsed().as_secs_f64()
        })
        .collect();
    speeds.sort_by(f64::total_cmp);
    speeds
}

/// Cycles a second, from a chain of operations that each wait for the one before: an exclusive or takes one
/// cycle, a multiplication three.
fn clock() -> f64 {
    const CHAIN: u32 = 1 << 18;
    let factor = black_box(3_u64);
    let run = |_| {
        let start = Instant::now();
        let product = (0..CHAIN).fold(black_box(1_u64), |x, _| (x ^ factor).wrapping_mul(factor));
        black_box(product);
        4.0 * f64::from(CHAIN) / start.elapsed().as_secs_f64()
    };
    (0..100).map(run).fold(0.0, f64::max)
}
