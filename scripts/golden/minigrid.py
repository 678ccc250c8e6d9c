# Records of more levels; with minigrid==3.2.0, gymnasium==1.4.0, numpy==2.4.6, CPython 3.11.
import base64, contextlib, gzip, io, json
import gymnasium as gym, minigrid, numpy as np
from minigrid.envs.babyai.core.verifier import PutNextInstr

LEVELS = ["MiniGrid-PutNear-6x6-N2-v0", "MiniGrid-PutNear-8x8-N3-v0", "MiniGrid-BlockedUnlockPickup-v0",
          "MiniGrid-DistShift2-v0", "MiniGrid-SimpleCrossingS9N2-v0", "MiniGrid-ObstructedMaze-2Dlhb-v1",
          "BabyAI-GoToObjS4-v0", "BabyAI-PickupLoc-v0", "BabyAI-PutNextLocalS5N3-v0"]
text = lambda array: base64.b64encode(np.ascontiguousarray(array, dtype=np.uint8).tobytes()).decode()
ints = lambda pair: [int(x) for x in pair]
thing = lambda o: None if o is None else [o.type, o.color]

def extra(e):
    if hasattr(e, "instrs"):
        descs = [e.instrs.desc_move, e.instrs.desc_fixed] if isinstance(e.instrs, PutNextInstr) else [e.instrs.desc]
        return dict(zip(["targets", "landmarks"], [[ints(p) for p in d.obj_poss] for d in descs]))
    if hasattr(e, "move_pos"):
        return {"targets": [ints(e.move_pos)], "target_pos": ints(e.target_pos)}
    return {"targets": [ints(e.obj.cur_pos)]} if hasattr(e, "obj") else {}

def episode(env, seed, policy, limit):
    e = gym.make(env).unwrapped
    with contextlib.redirect_stdout(io.StringIO()):
        obs, _ = e.reset(seed=seed)
    g = e.grid
    boxes = [[x, y, thing(g.get(x, y).contains)] for x in range(g.width) for y in range(g.height)
             if g.get(x, y) is not None and g.get(x, y).type == "box"]
    level = dict(width=g.width, height=g.height, grid=text(g.encode()), boxes=boxes, agent_pos=ints(e.agent_pos),
                 agent_dir=int(e.agent_dir), mission=e.mission, max_steps=e.max_steps,
                 see_through_walls=e.see_through_walls, extra=extra(e))
    r = dict(env=env, seed=seed, level=level, obs0=text(obs["image"]), direction0=int(obs["direction"]), actions=[],
             obs=[], direction=[], pos=[], carrying=[], rewards=[], terminated=[], truncated=[])
    over = False
    while not over and len(r["actions"]) < limit:
        action = int(policy.choice(7, p=[0.18, 0.18, 0.34, 0.13, 0.05, 0.1, 0.02]))
        obs, reward, terminated, truncated, _ = e.step(action)
        for key, value in [("actions", action), ("obs", text(obs["image"])), ("direction", int(obs["direction"])),
                           ("pos", ints(e.agent_pos)), ("carrying", thing(e.carrying)), ("rewards", float(reward)),
                           ("terminated", int(terminated)), ("truncated", int(truncated))]:
            r[key].append(value)
        over = terminated or truncated
    return r | {"grid_at_end": text(e.grid.encode())}

with gzip.GzipFile("more_episodes.jsonl.gz", "wb", mtime=0) as f:
    for env in LEVELS:
        # Two episodes of each way to end, cut at 200 steps; PickupLoc's are those that name a location.
        kept = {}
        for seed in range(300):
            r = episode(env, seed, np.random.RandomState(seed), 200)
            end = "success" if r["rewards"][-1] > 0 else "failure" if r["terminated"][-1] else "open"
            if "PickupLoc" in env and "you" not in r["level"]["mission"]:
                continue
            if kept.setdefault(end, 0) < (4 if env == "BabyAI-PickupLoc-v0" else 2):
                kept[end] += 1
                f.write((json.dumps({"id": f"{env}-{end}-{seed}"} | r) + "\n").encode())
        print(env, kept)
