"""Models of images in PyTorch, for comparison with `cargo bench -p thorndike-nets --bench models`. One thread,
whose processor time is taken.

    peers_nets.py [PART ..]

prints lines `peer <row> <value>`, images a second, where parts of names choose rows: `<name>` as PyTorch lays models and
images out by itself, `<name>-channels-last` with both in the order that is faster on a processor.
"""
import os, sys, time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import nn
from torch.nn import functional as F


def rate(work, images, seconds=0.5, rounds=10):
    """Images a second in the best of some rounds, as other programs only ever make it slower."""
    work()
    best = 0.0
    for _ in range(rounds):
        start, calls = time.process_time(), 0
        while (took := time.process_time() - start) < seconds:
            work()
            calls += 1
        best = max(best, images * calls / took)
    return best


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(inplace=True), nn.Linear(120, 84), nn.ReLU(inplace=True), nn.Linear(84, 10),
    )  # fmt: skip


def vgg(stages, batch_norm, width):
    """torchvision's `features`."""
    layers, channels = [], 3
    for convolutions, filters in zip(stages, (64, 128, 256, 512, 512)):
        filters = int(filters * width)
        for _ in range(convolutions):
            layers.append(nn.Conv2d(channels, filters, 3, padding=1))
            layers += [nn.BatchNorm2d(filters)] * batch_norm + [nn.ReLU(inplace=True)]
            channels = filters
        layers.append(nn.MaxPool2d(2))
    return layers


def vgg11():
    return nn.Sequential(*vgg((1, 1, 2, 2, 2), True, 0.25), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))


def vgg16():
    return nn.Sequential(
        *vgg((2, 2, 3, 3, 3), False, 1), nn.AdaptiveAvgPool2d(7), nn.Flatten(),
        nn.Linear(25088, 4096), nn.ReLU(inplace=True), nn.Dropout(),
        nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(4096, 1000),
    )  # fmt: skip


class Double(nn.Sequential):
    def __init__(self, inputs, outputs):
        layers = []
        for channels in (inputs, outputs):
            layers += [nn.Conv2d(channels, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
        super().__init__(*layers)


class UNet(nn.Module):
    def __init__(self, base=8, depth=4):
        super().__init__()
        channels = [base << i for i in range(depth + 1)]
        self.down = nn.ModuleList(Double(i, o) for i, o in zip([1] + channels, channels))
        self.transposed = nn.ModuleList(nn.ConvTranspose2d(2 * c, c, 2, stride=2) for c in channels[-2::-1])
        self.up = nn.ModuleList(Double(2 * c, c) for c in channels[-2::-1])
        self.head = nn.Conv2d(base, 1, 1)

    def forward(self, x):
        levels = []
        for double in self.down:
            x = double(F.max_pool2d(x, 2) if levels else x)
            levels.append(x)
        levels.pop()
        for transposed, double in zip(self.transposed, self.up):
            x = double(torch.cat([levels.pop(), transposed(x)], 1))
        return self.head(x)


class Unit(nn.Sequential):
    def __init__(self, inputs, outputs, size=3, stride=1):
        conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
        super().__init__(conv, nn.BatchNorm2d(outputs), nn.SiLU(inplace=True))


class Block(nn.Module):
    def __init__(self, inputs, outputs, shortcut):
        super().__init__()
        self.half, self.shortcut = outputs // 2, shortcut
        self.first = Unit(inputs, outputs, 1)
        self.pair = nn.Sequential(Unit(self.half, self.half), Unit(self.half, self.half))
        self.last = Unit(outputs + self.half, outputs, 1)

    def forward(self, x):
        x = self.first(x)
        inner = x[:, self.half :]
        read = self.pair(inner)
        return self.last(torch.cat([x, read + inner if self.shortcut else read], 1))


class Nano(nn.Module):
    """The layers of our anchor-free detector; nothing is decoded."""

    def __init__(self, channels=(16, 32, 48, 64, 96), pyramid=48, width=32, bins=16, classes=3):
        super().__init__()
        self.stem = Unit(3, channels[0], 3, 2)
        pairs = list(zip(channels, channels[1:]))
        self.stages = nn.ModuleList(nn.Sequential(Unit(i, o, 3, 2), Block(o, o, True)) for i, o in pairs)
        self.top = Unit(channels[4], pyramid, 1)
        self.joins = nn.ModuleList(Block(c + pyramid, pyramid, False) for c in channels[2:4])
        self.branches = nn.ModuleList(
            nn.ModuleList(nn.Sequential(Unit(pyramid, width), nn.Conv2d(width, outputs, 1)) for outputs in (4 * bins, classes))
            for _ in range(3)
        )

    def forward(self, x):
        maps = []
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        levels = [self.top(maps[3])]
        for join, x in ((self.joins[1], maps[2]), (self.joins[0], maps[1])):
            levels.append(join(torch.cat([F.interpolate(levels[-1], size=x.shape[2:]), x], 1)))
        both = [
            torch.cat([branch(x).flatten(2) for branch in branches], 1)
            for branches, x in zip(self.branches, reversed(levels))
        ]
        return torch.cat(both, 2)


def train(model, x, loss):
    """A step of training; Adam is fused, which is the faster one here."""
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def work():
        optimizer.zero_grad()
        loss(model(x)).backward()
        optimizer.step()

    return work


def classify(model, x):
    labels = torch.arange(len(x)) % 10
    return train(model, x, lambda outputs: F.cross_entropy(outputs, labels))


def forward(model, x):
    model.eval()

    def work():
        with torch.inference_mode():
            model(x)

    return work


def pixels(model, x):
    wanted = (x > 0.5).float()
    return train(model, x, lambda logits: F.binary_cross_entropy_with_logits(logits, wanted))


# Name, shape of the images, model and work.
ROWS = [
    ("nets-train-lenet-b64", (64, 1, 28, 28), lenet, classify),
    ("nets-train-vgg11-quarter-b64", (64, 3, 32, 32), vgg11, classify),
    ("nets-forward-vgg16-b1", (1, 3, 224, 224), vgg16, forward),
    ("nets-forward-vgg16-b4", (4, 3, 224, 224), vgg16, forward),
    ("nets-train-u-net-b16", (16, 1, 64, 64), UNet, pixels),
    ("nets-detect-yolo-nano-b1", (1, 3, 320, 320), Nano, forward),
    ("nets-detect-yolo-nano-b8", (8, 3, 320, 320), Nano, forward),
]


def main():
    torch.set_num_threads(1)
    parts = sys.argv[1:]
    for name, shape, make, work in ROWS:
        if parts and not any(part in name for part in parts):
            continue
        for suffix, order in (("", torch.contiguous_format), ("-channels-last", torch.channels_last)):
            model, x = make().to(memory_format=order), torch.rand(shape).to(memory_format=order)
            print(f"peer {name}{suffix} {rate(work(model, x), len(x)):.6g}", flush=True)


if __name__ == "__main__":
    main()
