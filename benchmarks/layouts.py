"""The leaves of a step: from one large leaf to the leaves of real networks."""

from collections.abc import Callable, Iterator, Sequence

Shapes = Sequence[tuple[int, ...]]

KI, MI = 2**10, 2**20


def resnet50() -> Shapes:
    """ResNet-50 for ImageNet: 161 leaves, 25.6 million weights."""

    def convolution(size: int, fan_in: int, fan_out: int) -> Shapes:
        return [(size, size, fan_in, fan_out), (fan_out,), (fan_out,)]  # with its normalisation

    def stages() -> Iterator[tuple[int, ...]]:
        yield from convolution(7, 3, 64)
        channels = 64
        for blocks, width in ((3, 64), (4, 128), (6, 256), (3, 512)):
            for block in range(blocks):
                if block == 0:
                    yield from convolution(1, channels, 4 * width)
                yield from convolution(1, channels, width)
                yield from convolution(3, width, width)
                yield from convolution(1, width, 4 * width)
                channels = 4 * width
        yield from [(channels, 1000), (1000,)]

    return list(stages())


def transformer() -> Shapes:
    """A decoder of 12 layers, width 768 and 50,257 tokens: 148 leaves, 124 million weights."""
    width = 768
    normalisation = [(width,), (width,)]
    attention = [(width, 3 * width), (3 * width,), (width, width), (width,)]
    feed_forward = [(width, 4 * width), (4 * width,), (4 * width, width), (width,)]
    layer = [*normalisation, *attention, *normalisation, *feed_forward]
    return [(50257, width), (1024, width), *12 * layer, *normalisation]


LAYOUTS: dict[str, Callable[[int], Shapes]] = {
    "1 large leaf": lambda weights: [(weights,)],
    "16 leaves": lambda weights: 16 * [(weights // 64,)],
    "1,000 leaves of 4 Ki": lambda _: 1000 * [(4 * KI,)],
    "ResNet-50": lambda _: resnet50(),
    "transformer": lambda _: transformer(),
}
"""Each makes its shapes from the size of the large leaf; 16 leaves have a 64th of it each."""
