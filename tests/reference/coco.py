"""What pycocotools says of detections, as a reference for tests/coco.rs.

usage: python coco.py toys > ../coco/toys.json
       python coco.py people FOLDER > ../coco/people.json     FOLDER has annotations/instances_{train,val}.json

A toy is a set of instances with crowd regions, objects without a mask, images without objects, ids from 0, and detections in it.
The detections of FOLDER are not stored: `detections` makes them of the annotations, and tests/coco.rs does the same.

pycocotools raises an IndexError at an annotation whose segmentation is [] (a KeyError where there is none) as soon as masks are
judged. So boxes are judged with the file as it is, and masks with the file without these annotations: what has no mask is no
object there."""
import contextlib
import copy
import io
import json
import random
import sys
from pycocotools import mask as masks
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


class Numbers:
    """Knuth's linear congruential generator: the upper 24 bits as a number in 0..1."""

    def __init__(self, seed):
        self.state = seed

    def draw(self, n):
        out = []
        for _ in range(n):
            self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
            out.append((self.state >> 40) / 2**24)
        return out


def detections(instances, seed):
    """Boxes and masks: objects that are moved and scaled, some missing, twice, or called something else, and three false ones an image."""
    numbers, boxes, segments = Numbers(seed), [], []
    categories = [c["id"] for c in instances["categories"]]
    sizes = {i["id"]: (i["height"], i["width"]) for i in instances["images"]}

    def emit(image, category, score, box, polygons):
        h, w = sizes[image]
        x0, y0, bw, bh = box
        if polygons is None:
            polygons = [[x0, y0, x0, y0 + bh, x0 + bw, y0 + bh, x0 + bw, y0]]
        rle = masks.merge(masks.frPyObjects(polygons, h, w))
        boxes.append({"image_id": image, "category_id": category, "score": score, "bbox": box})
        segments.append({"image_id": image, "category_id": category, "score": score,
                         "segmentation": {"size": rle["size"], "counts": rle["counts"].decode()}})

    for a in instances["annotations"]:
        d = numbers.draw(8)
        if d[0] < 0.2:
            continue
        x, y, w, h = a["bbox"]
        box = [x + (d[1] - 0.5) * 0.3 * w, y + (d[2] - 0.5) * 0.3 * h, w * (0.8 + 0.4 * d[3]), h * (0.8 + 0.4 * d[4])]
        category = a["category_id"] if d[5] < 0.85 else categories[int(d[6] * len(categories))]
        score = int(d[6] * 50) / 50
        s = a.get("segmentation")
        polygons = None
        if isinstance(s, list) and s:
            polygons = [[box[i % 2] + (v - [x, y][i % 2]) * (box[2 + i % 2] / [w, h][i % 2]) for i, v in enumerate(p)] for p in s]
        emit(a["image_id"], category, score, box, polygons)
        if d[7] < 0.2:
            emit(a["image_id"], category, score * 0.5, box, polygons)
    for i in instances["images"]:
        for _ in range(3):
            d = numbers.draw(6)
            box = [d[0] * i["width"] * 0.7, d[1] * i["height"] * 0.7, 5 + d[2] * i["width"] * 0.3, 5 + d[3] * i["height"] * 0.3]
            emit(i["id"], categories[int(d[4] * len(categories))], int(d[5] * 50) / 100, box, None)
    return boxes, segments


def judge(instances, found, kind):
    truth = copy.deepcopy(instances)
    if kind == "segm":
        truth["annotations"] = [a for a in truth["annotations"] if a.get("segmentation")]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        e = COCOeval(coco, coco.loadRes(copy.deepcopy(found)), kind)
        e.evaluate()
        e.accumulate()
        e.summarize()
    return [float(v) for v in e.stats]


def toy(seed):
    r = random.Random(seed)
    first = r.choice([0, 1, 17])
    images, annotations = [], []
    for i in range(r.randint(3, 6)):
        images.append({"id": first + i, "file_name": f"{i}.png", "width": r.randint(40, 220), "height": r.randint(40, 220)})
    categories = [{"id": r.choice([0, 1]) + 3 * k, "name": f"class {k}"} for k in range(r.randint(1, 3))]
    for i in images:
        if r.random() < 0.2:
            continue  # an image without objects
        for _ in range(r.randint(1, 7)):
            w, h = (round(r.uniform(3, 0.9 * i[s]), 2) for s in ("width", "height"))
            x, y = round(r.uniform(0, i["width"] - w), 2), round(r.uniform(0, i["height"] - h), 2)
            corners = [[.3, 0], [.7, 0], [1, .3], [1, .7], [.7, 1], [.3, 1], [0, .7], [0, .3]]
            octagon = [round(v, 2) for a, b in corners for v in (x + a * w, y + b * h)]
            a = {"id": first + len(annotations), "image_id": i["id"], "category_id": r.choice(categories)["id"],
                 "bbox": [x, y, w, h], "area": round(w * h * r.uniform(0.5, 1), 2), "iscrowd": 0, "segmentation": [octagon]}
            dice = r.random()
            if dice < 0.15:
                rle = masks.decode(masks.frPyObjects([octagon], i["height"], i["width"])[0]).flatten(order="F").tolist()
                counts, last = [0], 0
                for v in rle:
                    if v != last:
                        counts.append(0)
                        last = v
                    counts[-1] += 1
                a |= {"iscrowd": 1, "segmentation": {"size": [i["height"], i["width"]], "counts": counts}}
            elif dice < 0.3:
                a["segmentation"] = []
            elif dice < 0.4:
                del a["segmentation"]
            elif dice < 0.5:
                a["segmentation"] = [octagon[:8], octagon[8:]]
            annotations.append(a)
    return {"images": images, "categories": categories, "annotations": annotations}


if sys.argv[1] == "toys":
    toys = []
    for seed in range(20):
        instances = toy(seed)
        boxes, segments = detections(instances, seed)
        for d in boxes:
            d["bbox"] = [round(v, 2) for v in d["bbox"]]
        toys.append({"instances": instances, "boxes": boxes, "masks": segments,
                     "box": judge(instances, boxes, "bbox"), "mask": judge(instances, segments, "segm")})
    print("[" + ",\n".join(json.dumps(t, separators=(",", ":")) for t in toys) + "]")
else:
    figures = {}
    for split in ("train", "val"):
        with open(f"{sys.argv[2]}/annotations/instances_{split}.json") as f:
            instances = json.load(f)
        boxes, segments = detections(instances, 7)
        figures[split] = {"detections": len(boxes), "box": judge(instances, boxes, "bbox"), "mask": judge(instances, segments, "segm")}
    print(json.dumps(figures, indent=1))
