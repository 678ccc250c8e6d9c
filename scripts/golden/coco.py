"""Makes agents/data/tests/coco.json: seeded random boxes and their twelve figures by pycocotools, which
agents/data/src/score/coco.rs must equal. With crowds, equal scores, empty pictures, classes without truth, more than 100
detections in a picture, and areas that are not those of the boxes.

    pip install pycocotools==2.0.11 numpy==2.4.6
    python3 coco.py > ../../agents/data/tests/coco.json
"""

import contextlib
import io
import json

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

NAMES = ["AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large", "AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large"]


def case(seed):
    rng = np.random.default_rng(seed)
    crowded = seed % 4 == 3  # one picture with very many detections
    classes = int(rng.integers(1, 5))
    images = [{"id": i + 1, "width": 640, "height": 480} for i in range(3 if crowded else int(rng.integers(1, 8)))]
    categories = [{"id": 3 * c + 1, "name": f"class {c}"} for c in range(classes)]
    used = categories[: max(1, classes - seed % 2)]  # sometimes the last one has no truth
    number = (lambda x: float(round(x))) if seed % 3 == 0 else (lambda x: round(float(x), 2))  # whole: many equal overlaps
    annotations, detections = [], []
    for image in images:
        if rng.random() < 0.2:
            continue  # nothing there, and sometimes nothing found
        for _ in range(int(rng.integers(0, 12))):
            size = np.exp(rng.uniform(np.log(6), np.log(220), 2))
            box = [number(x) for x in (*rng.uniform(0, 400, 2), *size)]
            category = used[rng.integers(len(used))]["id"]
            crowd = int(rng.random() < 0.15)
            area = box[2] * box[3] * (1.0 if rng.random() < 0.5 else float(rng.uniform(0.4, 1)))
            annotations.append(
                {"id": len(annotations) + 1, "image_id": image["id"], "category_id": category, "bbox": box, "area": area, "iscrowd": crowd}
            )
            for _ in range(int(rng.integers(0, 12 if crowded else 4))):
                near = np.array(box) + rng.normal(0, 0.12, 4) * np.array(box)[[2, 3, 2, 3]]
                if rng.random() < 0.1:
                    near = np.array(box)
                detections.append([image["id"], category, near])
        for _ in range(int(rng.integers(0, 150 if crowded else 6))):
            size = np.exp(rng.uniform(np.log(6), np.log(220), 2))
            category = categories[rng.integers(classes)]["id"]
            detections.append([image["id"], category, np.array([*rng.uniform(0, 400, 2), *size])])
    order = rng.permutation(len(detections))
    scores = rng.integers(1, 20, len(detections)) / 20 if seed % 2 else rng.random(len(detections)).round(3)
    detections = [
        {"image_id": i, "category_id": c, "bbox": [number(x) for x in (box[0], box[1], abs(box[2]), abs(box[3]))], "score": float(score)}
        for (i, c, box), score in zip((detections[o] for o in order), scores)
    ]
    gt = {"images": images, "annotations": annotations, "categories": categories}
    return {"gt": gt, "detections": detections}


def score(case):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = json.loads(json.dumps(case["gt"]))
        truth.createIndex()
        found = truth.loadRes(json.loads(json.dumps(case["detections"])))
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    figures = dict(zip(NAMES, map(float, evaluation.stats)))
    precision = evaluation.eval["precision"][0, :, :, 0, 2]  # at 0.5, all areas, 100 detections
    figures["AP50_per_class"] = {
        category["name"]: float(of.mean()) if (of := precision[:, c])[0] > -1 else -1.0
        for c, category in enumerate(case["gt"]["categories"])
    }
    return figures


cases = []
seed = 0
while len(cases) < 12:
    drawn = case(seed)
    seed += 1
    if drawn["detections"]:  # pycocotools cannot load an empty list
        cases.append(drawn | {"expected": score(drawn)})
print("[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "\n]")
