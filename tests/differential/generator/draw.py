"""What cases are made of: random shapes, numbers and attributes.

Every number that is an input is a float32, so that f32 and f64 start from the same. A case is drawn from its own seed
alone, so that any case of a campaign can be made again.
"""
import random

import numpy as np

SUBNORMALS = [1e-45, -1e-45, 1e-40, -3e-39, 1.1754942e-38]
TINY = [1.1754944e-38, -2e-38, 1e-37]
NAN = [float("nan")]
NONFINITE = [float("nan"), float("inf"), float("-inf")]


# One for all: to make one takes longer than most cases do.
NUMBERS = np.random.Generator(np.random.SFC64(0))


class Draw:
    """A case's source of chance. `elements` is about the most that one of its tensors holds."""

    def __init__(self, seed, index, elements):
        self.random = random.Random(seed * 0x9E3779B97F4A7C15 + index)
        self.numbers, self.elements = NUMBERS, elements
        words = np.array([self.random.getrandbits(64) for _ in range(3)] + [1], dtype=np.uint64)
        NUMBERS.bit_generator.state = {"bit_generator": "SFC64", "state": {"state": words}, "has_uint32": 0, "uinteger": 0}

    def chance(self, p):
        return self.random.random() < p

    def pick(self, *of):
        return of[int(self.random.random() * len(of))]

    def between(self, low, high):
        """An integer, both ends included."""
        return low + int(self.random.random() * (high - low + 1))

    def uniform(self, low, high):
        return low + self.random.random() * (high - low)

    def extent(self, most):
        """1 .. most, small ones rather; now and then one that leaves a tail beside vectors of 8 or 16."""
        if self.chance(0.1):
            return min(most, self.pick(8, 15, 16, 17, 31, 33))
        return min(self.between(1, most), self.between(1, most))

    def channels(self, most=40):
        if self.chance(0.25):
            return min(most, self.pick(7, 8, 15, 16, 17, 24, 32, 33))
        return self.between(1, 6)

    def pair(self, draw):
        """The same on both axes, mostly."""
        first = draw()
        return [first, first if self.chance(0.6) else draw()]

    def shape(self, least_rank=0, most_rank=4, empty=0.03):
        """Extents whose product fits; with an empty or a one-element axis at times."""
        rank = self.between(least_rank, most_rank)
        shape, left = [], self.elements
        for _ in range(rank):
            n = 1 if self.chance(0.15) else self.extent(max(1, min(left, max(40, self.elements // 16))))
            shape.append(n)
            left = max(1, left // n)
        self.random.shuffle(shape)
        if shape and self.chance(empty):
            shape[self.between(0, rank - 1)] = 0
        return shape

    def values(self, shape, style=None, specials=0.12, nonfinite=0.06, big=1e3, kinds=NONFINITE):
        """Numbers of one style, with what is special at few places. Styles: normal, integers, scaled, wide, sparse."""
        style = style or self.style()
        a = np.asarray(self.numbers.standard_normal(shape, dtype=np.float32))
        if style == "integers":
            a = np.round(a * np.float32(1.5))
        elif style == "scaled":
            a = a * np.float32(10.0 ** self.uniform(-6, np.log10(big)))
        elif style == "wide":
            a = a * np.float32(2.0) ** np.round(np.asarray(self.numbers.uniform(-12, 8, shape), dtype=np.float32))
        elif style == "sparse":
            a = np.where(np.asarray(self.numbers.random(shape)) < 0.5, np.float32(0), a)
        a = np.array(a, dtype=np.float32, order="C").reshape(shape)
        if a.size and style != "integers":
            self.sprinkle(a, specials, nonfinite, kinds)
        return a

    def style(self):
        x = self.random.random()
        return "normal" if x < 0.55 else "integers" if x < 0.7 else "scaled" if x < 0.8 else "wide" if x < 0.92 else "sparse"

    def sprinkle(self, a, specials, nonfinite, beyond):
        kinds = []
        if self.chance(specials):
            kinds.append([-0.0, 0.0] + SUBNORMALS + TINY)
        if self.chance(nonfinite):
            kinds.append(beyond)
        flat = a.reshape(-1)
        for kind in kinds:
            for _ in range(self.between(1, 1 + min(3, a.size // 4))):
                flat[self.between(0, a.size - 1)] = self.pick(*kind)

    def upstream(self, shape):
        """An upstream gradient: finite, without zeros and of moderate size, so that nothing hides behind it."""
        a = np.asarray(self.numbers.random(shape, dtype=np.float32)) * np.float32(4) - np.float32(2)
        return np.asarray(a + np.copysign(np.float32(0.25), a))
