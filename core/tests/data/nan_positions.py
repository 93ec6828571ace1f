"""Where PyTorch's conv2d has NaN: writes nan_positions.txt, which core/tests/nan.rs reads.

One NaN stands in x, or in w, of a convolution in float64. A line holds n h w c_in c_out kernel stride padding dilation
groups (square all), which operand, the flat place of its NaN (NHWC, HWIO), and two sets of places of y (NHWC) as
strings of 0 and 1: those that read it inside of the image, and those where PyTorch's result is NaN. They differ where
a NaN tap of w lies on padding, 0 NaN, which is left out or not as the kernel has it."""
import torch
import torch.nn.functional as F

SPECS = [
    (1, 7, 6, 16, 20, 3, 1, 1, 1, 1), (2, 9, 9, 18, 17, 3, 1, 0, 1, 1), (1, 8, 7, 17, 16, 5, 1, 2, 1, 1),
    (1, 19, 19, 3, 16, 7, 3, 2, 1, 1), (1, 6, 7, 3, 18, 3, 2, 1, 1, 1), (1, 6, 5, 40, 35, 1, 1, 0, 1, 1),
    (1, 7, 9, 19, 19, 3, 1, 1, 1, 19), (1, 7, 9, 6, 12, 3, 2, 2, 2, 6), (1, 8, 7, 8, 12, 3, 1, 1, 1, 2),
    (20, 4, 4, 5, 9, 3, 1, 1, 1, 1), (1, 9, 9, 40, 70, 3, 2, 2, 2, 1),
]


def line(spec, operand):
    n, h, w, ci, co, k, s, p, d, g = spec
    x = torch.arange(n * h * w * ci, dtype=torch.float64).remainder(7).reshape(n, h, w, ci) - 3
    f = torch.arange(k * k * ci // g * co, dtype=torch.float64).remainder(5).reshape(k, k, ci // g, co) - 2
    conv = lambda x, f: F.conv2d(x.permute(0, 3, 1, 2), f.permute(3, 2, 0, 1), None, s, p, d, g).permute(0, 2, 3, 1)
    mark = [x, f][operand]
    at = mark.numel() * 3 // 7
    marked = [torch.ones_like(x), torch.ones_like(f)]
    marked[operand] = torch.zeros_like(mark)
    marked[operand].view(-1)[at] = 1
    mark.view(-1)[at] = float("nan")
    bits = lambda y: "".join("01"[int(v)] for v in y.reshape(-1))
    return f"{' '.join(map(str, spec))} {'xw'[operand]} {at} {bits(conv(*marked) > 0)} {bits(conv(x, f).isnan())}"


with open(__file__.replace(".py", ".txt"), "w") as out:
    out.writelines(line(spec, operand) + "\n" for spec in SPECS for operand in (0, 1))
