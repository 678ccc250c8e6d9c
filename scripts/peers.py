"""Steps a second of other environment packages, for `scripts/bench envs`.

Prints a line `peer <our id> <package> <steps a second>` for everything that is installed, best of several short
runs: random actions drawn before, resets included, one thread.
"""
import os, sys, time

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np

RUNS, SECONDS = 8, 0.12
GYM = {
    "cart-pole": "CartPole-v1",
    "mountain-car": "MountainCar-v0",
    "acrobot": "Acrobot-v1",
    "pendulum": "Pendulum-v1",
    "frozen-lake": "FrozenLake-v1",
    "taxi": "Taxi-v4",
    "lunar-lander": "LunarLander-v3",
    "minigrid-empty": "MiniGrid-Empty-8x8-v0",
    "minigrid-door-key": "MiniGrid-DoorKey-8x8-v0",
    "minatar-asterix": "MinAtar/Asterix-v1",
    "minatar-breakout": "MinAtar/Breakout-v1",
    "minatar-freeway": "MinAtar/Freeway-v1",
    "minatar-seaquest": "MinAtar/Seaquest-v1",
    "minatar-space-invaders": "MinAtar/SpaceInvaders-v1",
}
POOL = {
    "cart-pole": "CartPole-v1",
    "mountain-car": "MountainCar-v0",
    "acrobot": "Acrobot-v1",
    "pendulum": "Pendulum-v1",
    "frozen-lake": "FrozenLake-v1",
    "taxi": "Taxi-v3",
    "lunar-lander": "LunarLander-v3",
}


def best(step, rows):
    """Steps a second of the best run; `step(i)` steps `rows` environments."""
    speeds, i = [], 0
    for _ in range(RUNS):
        start, steps = time.perf_counter(), 0
        while (took := time.perf_counter() - start) < SECONDS:
            for _ in range(16):
                step(i)
                i += 1
            steps += 16 * rows
        speeds.append(steps / took)
    return max(speeds)


def report(name, package, make):
    try:
        step, rows = make()
        print(f"peer {name} {package} {best(step, rows):.6g}", flush=True)
    except Exception as error:  # a package without this environment
        print(f"{name}: {package}: {type(error).__name__}: {error}".splitlines()[0], file=sys.stderr)


def single(gym, env_id):
    env = gym.make(env_id)
    env.reset(seed=1)
    env.action_space.seed(2)
    actions = [env.action_space.sample() for _ in range(1024)]

    def step(i):
        _, _, terminated, truncated, _ = env.step(actions[i % 1024])
        if terminated or truncated:
            env.reset()

    return step, 1


def vectorised(gym, env_id):
    envs = gym.make_vec(env_id, num_envs=1024, vectorization_mode="vector_entry_point")
    envs.reset(seed=1)
    envs.action_space.seed(2)
    actions = [envs.action_space.sample() for _ in range(64)]
    return lambda i: envs.step(actions[i % 64]), 1024


def pool(envpool, env_id):
    rows = 64
    envs = envpool.make(env_id, env_type="gymnasium", num_envs=rows, num_threads=1)
    envs.reset()
    envs.action_space.seed(2)
    actions = [np.stack([np.asarray(envs.action_space.sample()) for _ in range(rows)]) for _ in range(64)]
    return lambda i: envs.step(actions[i % 64]), rows


def main():
    try:
        import gymnasium as gym
    except ImportError as error:
        print(f"gymnasium: {error}", file=sys.stderr)
    else:
        for package in ("minigrid", "minatar.gym"):
            try:
                module = __import__(package, fromlist=["x"])
                getattr(module, "register_envs", lambda: None)()
            except Exception as error:
                print(f"{package}: {type(error).__name__}: {error}", file=sys.stderr)
        for name, env_id in GYM.items():
            report(name, "gymnasium", lambda: single(gym, env_id))
        report("cart-pole", "gymnasium-vector", lambda: vectorised(gym, "CartPole-v1"))
    try:
        import envpool
    except Exception as error:
        print(f"envpool: {type(error).__name__}: {error}", file=sys.stderr)
    else:
        for name, env_id in POOL.items():
            report(name, "envpool", lambda: pool(envpool, env_id))


main()
