"""Stable-Baselines3's DQN and its parts in PyTorch, for comparison with ours. One thread.

    peers_dqn.py train CartPole-v1 1 10 [key=value ..]

trains seeds 1 to 10 with the settings of rl-baselines3-zoo and prints a line
`peer <environment> <seed> <mean return> <seconds of training>` for each: 100 greedy episodes with the weights at the
end, not the best. Settings can be overridden, such as `n_timesteps=1000`.

    peers_dqn.py speed

prints lines `peer <row> <value>` for `scripts/bench dqn`.
"""
import ast, os, sys, time

os.environ.setdefault("OMP_NUM_THREADS", "1")
EPISODES = 100

# hyperparams/dqn.yml of rl-baselines3-zoo at 22e3ff2 (April 2026).
SHARED = dict(gamma=0.99, net_arch=[256, 256])
BOX = dict(
    SHARED, n_timesteps=100_000, learning_rate=6.3e-4, batch_size=128, buffer_size=50_000, learning_starts=0,
    target_update_interval=250, train_freq=4, gradient_steps=-1, exploration_fraction=0.12, exploration_final_eps=0.1,
)
ZOO = {
    "CartPole-v1": dict(
        SHARED, n_timesteps=50_000, learning_rate=2.3e-3, batch_size=64, buffer_size=100_000, learning_starts=1000,
        target_update_interval=10, train_freq=256, gradient_steps=128, exploration_fraction=0.16,
        exploration_final_eps=0.04,
    ),
    "MountainCar-v0": dict(
        SHARED, n_timesteps=120_000, learning_rate=4e-3, batch_size=128, buffer_size=10_000, learning_starts=1000,
        gamma=0.98, target_update_interval=600, train_freq=16, gradient_steps=8, exploration_fraction=0.2,
        exploration_final_eps=0.07,
    ),
    "Acrobot-v1": BOX,
    "LunarLander-v3": BOX,
}


def train(env_id, seed, settings):
    """The trained model, and the seconds that took."""
    import torch
    from stable_baselines3 import DQN
    from stable_baselines3.common.env_util import make_vec_env

    torch.set_num_threads(1)
    settings = dict(settings)
    steps, net_arch = settings.pop("n_timesteps"), settings.pop("net_arch")
    env = make_vec_env(env_id, n_envs=1, seed=seed)
    model = DQN("MlpPolicy", env, policy_kwargs=dict(net_arch=net_arch), seed=seed, device="cpu", **settings)
    start = time.perf_counter()
    model.learn(steps)
    return model, time.perf_counter() - start


def evaluate(model, env_id, seed):
    """Mean return of greedy episodes in environments of their own."""
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy

    env = make_vec_env(env_id, n_envs=1, seed=10_000 + seed)
    return evaluate_policy(model, env, n_eval_episodes=EPISODES, deterministic=True)[0]


def rate(work, seconds=0.5, rounds=10):
    """Calls a second in the best of some rounds, as other programs only ever make it slower."""
    work()
    best = 0.0
    for _ in range(rounds):
        start, calls = time.perf_counter(), 0
        while (took := time.perf_counter() - start) < seconds:
            work()
            calls += 1
        best = max(best, calls / took)
    return best


def update(make, obs, actions):
    """One step of DQN on a batch that is there already: no sampling, unlike ours."""
    import torch
    from torch.nn import functional as F

    online, target = make(), make()
    target.load_state_dict(online.state_dict())
    optimizer = torch.optim.Adam(online.parameters(), lr=1e-3, fused=True)
    rows = len(obs)
    chosen, rewards, running = torch.randint(actions, (rows, 1)), torch.rand(rows), torch.ones(rows)

    def work():
        with torch.no_grad():
            targets = rewards + 0.99 * running * target(obs).max(1).values
        loss = F.mse_loss(online(obs).gather(1, chosen).squeeze(1), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return work


def sample(shape, dtype, capacity):
    """Stable-Baselines3's replay, full, giving batches of 32; and bytes a transition."""
    import gymnasium as gym
    import numpy as np
    from stable_baselines3.common.buffers import ReplayBuffer

    space = gym.spaces.Box(0, 255, shape, dtype)
    buffer = ReplayBuffer(capacity, space, gym.spaces.Discrete(2), device="cpu")
    obs = np.ones((1, *shape), dtype)
    for i in range(capacity):
        buffer.add(obs, obs, np.zeros((1, 1)), np.ones(1), np.array([i % 200 == 0]), [{}])
    arrays = (x for x in vars(buffer).values() if isinstance(x, np.ndarray))
    return (lambda: buffer.sample(32)), sum(x.nbytes for x in arrays) / capacity


def speed():
    import torch
    from torch import nn

    torch.set_num_threads(1)

    def dense():
        return nn.Sequential(nn.Linear(4, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 2))

    def nature():
        convolutions = [nn.Conv2d(4, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(), nn.Conv2d(64, 64, 3)]
        return nn.Sequential(
            *convolutions, nn.ReLU(), nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, 6)
        )

    def row(name, value):
        print(f"peer {name} {value:.6g}", flush=True)

    row("update", rate(update(dense, torch.rand(128, 4), 2)))
    row("nature", rate(update(nature, torch.rand(32, 4, 84, 84), 6)))
    work, _ = sample((4,), "float32", 50_000)
    row("numbers", rate(work))
    # A fifth of our transitions, as this replay keeps each frame eight times: 2.8 GB would be needed.
    work, size = sample((4, 84, 84), "uint8", 10_000)
    row("frames", rate(work))
    row("memory", size)
    seeds = [train("CartPole-v1", seed, ZOO["CartPole-v1"])[1] for seed in (1, 2, 3)]
    row("run", sum(seeds) / len(seeds))


def main():
    if sys.argv[1:] == ["speed"]:
        return speed()
    if len(sys.argv) < 5 or sys.argv[1] != "train" or sys.argv[2] not in ZOO:
        sys.exit(__doc__)
    env_id, first, last, *overrides = sys.argv[2:]
    settings = dict(ZOO[env_id])
    for key, value in (override.split("=", 1) for override in overrides):
        settings[key] = ast.literal_eval(value)
    for seed in range(int(first), int(last) + 1):
        model, seconds = train(env_id, seed, settings)
        print(f"peer {env_id} {seed} {evaluate(model, env_id, seed):.2f} {seconds:.1f}", flush=True)


if __name__ == "__main__":
    main()
