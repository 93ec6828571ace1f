"""What torchvision makes of a detector with random weights, as a reference for models/tests/torchvision_detector.rs.

usage: python detector.py OUT PHOTO PHOTO PHOTO [LR]

OUT/weights.pth     fasterrcnn_resnet50_fpn with torchvision's random weights, 91 classes, frozen batch norm; the class
                    predictor is scaled so that logits have a deviation of 2 over the classes, and scores spread
OUT/predictor.pth   a box predictor of two classes to put in its place
OUT/detections.pth  imageK [h, w, 3] (bytes), and boxesK, labelsK, scoresK at 800 x 1333
OUT/training.pth    the losses of 20 steps of SGD at 320 x 533, two images a step in fixed order, all samples taken:
                    losses [20, 4] in the order of NAMES, and the learning rate; targetsK are the boxes; losses64 are
                    torchvision's own in f64, and how far its f32 parts from them is printed"""
import copy
import sys
import numpy as np
import torch
from PIL import Image
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.ops.misc import FrozenBatchNorm2d

NAMES = ["loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg"]
ALL = 10**6
LR = float(sys.argv[5]) if len(sys.argv) > 5 else 1e-5
out, photos = sys.argv[1], sys.argv[2:5]
torch.manual_seed(0)


def detector(norm, **settings):
    backbone = resnet_fpn_backbone(backbone_name="resnet50", weights=None, norm_layer=norm, trainable_layers=3)
    return FasterRCNN(backbone, num_classes=91, **settings)


images = [np.array(Image.open(p).convert("RGB")) for p in photos]
tensors = [torch.from_numpy(i).permute(2, 0, 1).float() / 255 for i in images]

model = detector(FrozenBatchNorm2d).eval()
logits = []
hook = model.roi_heads.box_predictor.cls_score.register_forward_hook(lambda module, x, y: logits.append(y))
with torch.no_grad():
    for t in tensors:
        model([t])
    model.roi_heads.box_predictor.cls_score.weight *= 2 / torch.cat(logits).std(dim=1).mean()
hook.remove()
state = {k: v.clone() for k, v in model.state_dict().items()}
torch.save(state, out + "/weights.pth")

found = {}
with torch.no_grad():
    for k, (image, t) in enumerate(zip(images, tensors)):
        r = model([t])[0]
        print(photos[k], len(r["scores"]), "scores", r["scores"][:3].tolist(), r["scores"][-1:].tolist(), "labels", len(set(r["labels"].tolist())), flush=True)
        found[f"image{k}"] = torch.from_numpy(image)
        found.update({f"{name}{k}": r[name] for name in ["boxes", "labels", "scores"]})
torch.save(found, out + "/detections.pth")

model = detector(FrozenBatchNorm2d, min_size=320, max_size=533)
model.load_state_dict(state)
model.roi_heads.box_predictor = FastRCNNPredictor(1024, 2)
torch.save(model.roi_heads.box_predictor.state_dict(prefix="roi_heads.box_predictor."), out + "/predictor.pth")
for part in [model.rpn, model.roi_heads]:
    part.fg_bg_sampler = BalancedPositiveNegativeSampler(ALL, 0.5)
kept = {"lr": torch.tensor([LR], dtype=torch.float64)}
for k, t in enumerate(tensors):
    h, w = t.shape[1:]
    kept[f"targets{k}"] = torch.tensor([[w * 0.1, h * 0.2, w * 0.45, h * 0.9], [w * 0.5, h * 0.3, w * 0.8, h * 0.95]])


def fine_tune(model, dtype):
    """The losses of 20 steps in that precision: [20, 4]."""
    model.to(dtype).train()
    photos = [t.to(dtype) for t in tensors]
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=LR, momentum=0.9, weight_decay=5e-4)
    losses = []
    for step in range(20):
        batch = [step % 3, (step + 1) % 3]
        targets = [{"boxes": kept[f"targets{k}"].to(dtype), "labels": torch.ones(2, dtype=torch.int64)} for k in batch]
        each = model([photos[k] for k in batch], targets)
        optimizer.zero_grad()
        sum(each.values()).backward()
        optimizer.step()
        losses.append([each[name].item() for name in NAMES])
        print(dtype, step, losses[-1], flush=True)
    return torch.tensor(losses, dtype=torch.float64)


exact = copy.deepcopy(model)
kept["losses"] = fine_tune(model, torch.float32)
kept["losses64"] = fine_tune(exact, torch.float64)
apart = ((kept["losses"] - kept["losses64"]).abs() / kept["losses64"].clamp(min=1)).amax(dim=1)
print("f32 and f64 of torchvision's part, step by step:", " ".join(f"{a:.1e}" for a in apart.tolist()))
torch.save(kept, out + "/training.pth")
