"""torchvision detects with a gradus run's weights: seconds an image and proposals, over the same images as `gradus evaluate`.
usage: torch_weights.py THREADS WEIGHTS.safetensors mobilenet-v2|resnet18-fpn|resnet18-fpn-mask MIN_SIZE MAX_SIZE IMAGES...
Needs torch, torchvision, safetensors. The run was trained with frozen batch norm and two classes."""
import sys, time
import torch, torchvision
from safetensors.torch import load_file
from torchvision.io import read_image
from torchvision.models.detection import FasterRCNN, MaskRCNN
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
from torchvision.models.detection.rpn import AnchorGenerator
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.misc import FrozenBatchNorm2d

threads, weights, kind, least, most = sys.argv[1:6]
torch.set_num_threads(int(threads))
options = dict(num_classes=2, min_size=int(least), max_size=int(most))
if kind == "mobilenet-v2":
    backbone = torchvision.models.mobilenet_v2(norm_layer=FrozenBatchNorm2d).features
    backbone.out_channels = 1280
    anchors = AnchorGenerator(((32, 64, 128, 256, 512),), ((0.5, 1.0, 2.0),))
    net = FasterRCNN(backbone, rpn_anchor_generator=anchors, box_roi_pool=MultiScaleRoIAlign(["0"], 7, 2), **options)
else:
    backbone = _resnet_fpn_extractor(torchvision.models.resnet18(norm_layer=FrozenBatchNorm2d), 3)
    net = (MaskRCNN if kind.endswith("mask") else FasterRCNN)(backbone, **options)
net.load_state_dict(load_file(weights))
net.eval()

proposals, times = [], []
net.roi_heads.box_head.register_forward_hook(lambda module, given, made: proposals.append(len(made)))
images = [read_image(name)[:3].float() / 255 for name in sys.argv[6:]]
with torch.no_grad():
    net(images[:1])
    for image in images:
        start = time.perf_counter()
        net([image])
        times.append(time.perf_counter() - start)
print(f"{sum(times) / len(times):.3f} s an image, {sum(proposals) / len(proposals):.0f} proposals")
