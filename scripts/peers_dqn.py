"""Trains Stable-Baselines3's DQN with the settings of rl-baselines3-zoo, for comparison with ours.

    peers_dqn.py train CartPole-v1 1 10 [key=value ..]

trains seeds 1 to 10 and prints a line `peer <environment> <seed> <mean return> <seconds of training>` for each: 100
greedy episodes with the weights at the end, not the best. Settings can be overridden, such as `n_timesteps=1000`.
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


def main():
    command, env_id, first, last, *overrides = sys.argv[1:]
    if command != "train":
        sys.exit(__doc__)
    settings = dict(ZOO[env_id])
    for key, value in (override.split("=", 1) for override in overrides):
        settings[key] = ast.literal_eval(value)
    for seed in range(int(first), int(last) + 1):
        model, seconds = train(env_id, seed, settings)
        print(f"peer {env_id} {seed} {evaluate(model, env_id, seed):.2f} {seconds:.1f}", flush=True)


if __name__ == "__main__":
    main()
