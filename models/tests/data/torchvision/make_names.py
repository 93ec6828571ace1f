"""Lists the tensors of torchvision's detectors: a name and a shape a line, in the order of state_dict().
usage: make_names.py (in the folder of the lists; torchvision 0.29)"""
import torchvision
from torchvision.models import mobilenet_v2, resnet18, resnet34, resnet50
from torchvision.models.detection import FasterRCNN, MaskRCNN, maskrcnn_resnet50_fpn_v2
from torchvision.models.detection.backbone_utils import _mobilenet_extractor, _resnet_fpn_extractor
from torchvision.models.detection.rpn import AnchorGenerator
from torchvision.ops.misc import FrozenBatchNorm2d


def option_2():
    backbone = mobilenet_v2().features
    backbone.out_channels = 1280
    anchors = AnchorGenerator(((32, 64, 128, 256, 512),), ((0.5, 1.0, 2.0),))
    pool = torchvision.ops.MultiScaleRoIAlign(["0"], 7, 2)
    return FasterRCNN(backbone, num_classes=2, rpn_anchor_generator=anchors, box_roi_pool=pool)


def resnet_fpn(body):
    return _resnet_fpn_extractor(body(norm_layer=FrozenBatchNorm2d), 3)


def mobilenet_fpn():
    return _mobilenet_extractor(mobilenet_v2(norm_layer=FrozenBatchNorm2d), True, 3, [1, 2, 3, 5])


models = {
    "fasterrcnn_resnet50_fpn": FasterRCNN(resnet_fpn(resnet50), num_classes=91),
    "maskrcnn_resnet50_fpn": MaskRCNN(resnet_fpn(resnet50), num_classes=91),
    "fasterrcnn_resnet34_fpn": FasterRCNN(resnet_fpn(resnet34), num_classes=2),
    "fasterrcnn_resnet18_fpn": FasterRCNN(resnet_fpn(resnet18), num_classes=2),
    "fasterrcnn_mobilenet_v2": option_2(),
    "fasterrcnn_mobilenet_v2_fpn": FasterRCNN(mobilenet_fpn(), num_classes=2),
    # Refused; its names without masks are fasterrcnn_resnet50_fpn_v2's.
    "maskrcnn_resnet50_fpn_v2": maskrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None),
}
for name, model in models.items():
    parameters = [p.numel() for p in model.parameters()]
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    in_backbone = sum(p.numel() for p in model.backbone.parameters())
    trainable_backbone = sum(p.numel() for p in model.backbone.parameters() if p.requires_grad)
    print(name, len(model.state_dict()), sum(parameters), trainable, "backbone", in_backbone, trainable_backbone)
    with open(name + ".txt", "w") as out:
        for key, value in model.state_dict().items():
            print(key, "x".join(map(str, value.shape)), file=out)
