"""The nets of the scene tasks in torch, eager, with their losses and what reads them: twins for benchmarks.models_cpu.

Modules are named as in `cnn_jax.models`, so that the same variables fit. Images are (batch, 1, 48, 48).
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional as F  # pyright: ignore[reportMissingImports]

from benchmarks.plain_torch import Block, ConvNorm, flatten

SIZE = 48
CLASSES, MASKS, JOINTS = 10, 11, 13
MOST = 20  # detections of an image
FILTERS = (16, 32, 64)
Batch = Mapping[str, Any]


class Trunk(nn.Module):
    """The three stages of a ResNet of 8 layers whose stem halves the image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ConvNorm(1, FILTERS[0], 3, 2)
        self.stage1_block1 = Block(FILTERS[0], FILTERS[0], 1, False)
        self.stage2_block1 = Block(FILTERS[0], FILTERS[1], 2, False)
        self.stage3_block1 = Block(FILTERS[1], FILTERS[2], 2, False)

    def forward(self, x: Any) -> list[Any]:
        maps, x = [], self.conv1(x)
        for block in (self.stage1_block1, self.stage2_block1, self.stage3_block1):
            x = block(x)
            maps.append(x)
        return maps


class Localizer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk()
        self.fc = nn.Linear(FILTERS[2] * (SIZE // 8) ** 2, 128)
        self.scores, self.box = nn.Linear(128, CLASSES), nn.Linear(128, 4)

    def forward(self, x: Any) -> dict[str, Any]:
        x = F.relu(self.fc(flatten(self.trunk(x)[-1])))
        return {'box': (self.box(x) + x.new_tensor([0.25, 0.25, 0.75, 0.75])) * SIZE, 'scores': self.scores(x)}


def localization_loss(outputs: Any, batch: Batch) -> Any:
    edges = F.huber_loss(outputs['box'] / SIZE, batch['boxes'][:, 0] / SIZE, delta=0.1, reduction='none')
    return F.cross_entropy(outputs['scores'], batch['label']) + edges.sum(1).mean() / 0.1


def read_localization(outputs: Any) -> Any:
    return F.softmax(outputs['scores'], 1), outputs['box']


class Pyramid(nn.Module):
    def __init__(self, filters: int) -> None:
        super().__init__()
        self.lateral0, self.lateral1, self.lateral2 = (nn.Conv2d(one, filters, 1) for one in FILTERS)
        self.smooth = ConvNorm(filters, filters, 3)

    def forward(self, maps: list[Any]) -> Any:
        x = self.lateral2(maps[2])
        x = self.lateral1(maps[1]) + F.interpolate(x, scale_factor=2)
        return self.smooth(self.lateral0(maps[0]) + F.interpolate(x, scale_factor=2))


class CenterNet(nn.Module):
    def __init__(self, filters: int = 64) -> None:
        super().__init__()
        self.trunk, self.pyramid = Trunk(), Pyramid(filters)
        for name, outputs in (('scores', CLASSES), ('size', 2), ('offset', 2)):
            self.add_module(f'{name}_hidden', nn.Conv2d(filters, filters, 3, padding=1))
            self.add_module(name, nn.Conv2d(filters, outputs, 1))

    def _head(self, x: Any, name: str) -> Any:
        return self.get_submodule(name)(F.relu(self.get_submodule(f'{name}_hidden')(x), inplace=True))

    def forward(self, x: Any) -> dict[str, Any]:
        x = self.pyramid(self.trunk(x))
        side = x.shape[-1]
        at = torch.arange(side, device=x.device)
        corner = torch.stack(torch.meshgrid(at, at, indexing='xy'))[None]  # (1, 2, rows, columns), x and y
        centre = (corner + 0.5 + self._head(x, 'offset')) * (SIZE / side)
        half = 8 * torch.exp(self._head(x, 'size').clip(-8, 8))
        boxes = torch.cat([centre - half, centre + half], 1)
        return {'boxes': boxes.permute(0, 2, 3, 1), 'scores': self._head(x, 'scores').permute(0, 2, 3, 1)}


def detection_loss(outputs: Any, batch: Batch) -> Any:
    scores, side = outputs['scores'], outputs['scores'].shape[1]
    truth = batch['boxes'] * (side / SIZE)  # (batch, most, 4)
    size, centre = truth[..., 2:] - truth[..., :2], (truth[..., :2] + truth[..., 2:]) / 2
    there, place = (size > 0).all(-1), centre.floor().long().clip(0, side - 1)
    bumps = _bumps(scores, batch['box_label'], size, place, there)
    yes, no, share = F.logsigmoid(scores), F.logsigmoid(-scores), torch.sigmoid(scores)
    around = -((1 - bumps) ** 4) * share**2 * no
    focal = torch.where(bumps == 1, -((1 - share) ** 2) * yes, around).sum((1, 2, 3))
    row = torch.arange(len(scores))[:, None]
    own = outputs['boxes'][row, place[..., 1], place[..., 0]] * (side / SIZE)
    offset = ((own[..., :2] + own[..., 2:]) / 2 - centre).abs()
    apart = (own[..., 2:] - own[..., :2] - size).abs()
    regression = ((offset + 0.1 * apart).sum(-1) * there).sum(1)
    return ((focal + regression) / there.sum(1).clip(1)).mean()


def _bumps(scores: Any, labels: Any, size: Any, place: Any, there: Any) -> Any:
    total, area = size.sum(-1), size.prod(-1) * (1 - 2 * 0.7 / 1.7)
    radius = 2 * area / (total + (total**2 - 4 * area).clip(0).sqrt()).clip(1e-6)
    sigma = ((2 * radius + 1) / 6).clip(1e-3)
    at = torch.arange(scores.shape[1], device=scores.device)
    across, down = at - place[..., :1], at - place[..., 1:]  # (batch, most, columns), (batch, most, rows)
    squares = down[..., :, None] ** 2 + across[..., None, :] ** 2
    each = torch.exp(-squares / (2 * sigma[..., None, None] ** 2)) * there[..., None, None]
    bumps, row = torch.zeros_like(scores), torch.arange(len(scores))
    for number in range(labels.shape[1]):
        label = labels[:, number]
        bumps[row, :, :, label] = torch.maximum(bumps[row, :, :, label], each[:, number])
    return bumps


def read_detection(outputs: Any) -> Any:
    scores = outputs['scores'].permute(0, 3, 1, 2)
    peaks = torch.where(F.max_pool2d(scores, 3, 1, padding=1) == scores, scores, -torch.inf).permute(0, 2, 3, 1)
    best, where = peaks.flatten(1).topk(MOST)
    places = torch.div(where, CLASSES, rounding_mode='floor')[..., None].expand(-1, -1, 4)
    return best.sigmoid(), where % CLASSES, outputs['boxes'].flatten(1, 2).gather(1, places)


class FCN(nn.Module):
    def __init__(self, hidden: int = 32) -> None:
        super().__init__()
        self.trunk = Trunk()
        for number, filters in enumerate(FILTERS):
            self.add_module(f'hidden{number}', nn.Conv2d(filters, hidden, 3, padding=1))
            self.add_module(f'scores{number}', nn.Conv2d(hidden, MASKS, 1))

    def _scores(self, x: Any, number: int) -> Any:
        return self.get_submodule(f'scores{number}')(F.relu(self.get_submodule(f'hidden{number}')(x), inplace=True))

    def forward(self, x: Any) -> Any:
        scores = [self._scores(one, number) for number, one in enumerate(self.trunk(x))]
        total = scores[2]
        for finer in (scores[1], scores[0]):
            total = finer + F.interpolate(total, scale_factor=2, mode='bilinear')
        return F.interpolate(total, scale_factor=2, mode='bilinear').permute(0, 2, 3, 1)


def segmentation_loss(outputs: Any, batch: Batch) -> Any:
    return F.cross_entropy(outputs.permute(0, 3, 1, 2), batch['segmentation'])


def read_segmentation(outputs: Any) -> Any:
    return outputs.argmax(-1), F.softmax(outputs, -1).amax(-1)


class SimpleBaseline(nn.Module):
    def __init__(self, filters: int = 32) -> None:
        super().__init__()
        self.trunk = Trunk()
        for number, before in enumerate((FILTERS[2], filters), 1):
            self.add_module(f'deconv{number}', nn.ConvTranspose2d(before, filters, 4, 2, padding=1, bias=False))
            self.add_module(f'norm{number}', nn.BatchNorm2d(filters))
        self.heatmaps = nn.Conv2d(filters, JOINTS, 1)

    def forward(self, x: Any) -> Any:
        x = self.trunk(x)[-1]
        for number in (1, 2):
            x = self.get_submodule(f'norm{number}')(self.get_submodule(f'deconv{number}')(x))
            x = F.relu(x, inplace=True)
        return self.heatmaps(x).permute(0, 2, 3, 1)


def pose_loss(outputs: Any, batch: Batch) -> Any:
    side = outputs.shape[1]
    places, at = batch['keypoints'] * (side / SIZE) - 0.5, torch.arange(side, device=outputs.device)
    across = at[None, None, :, None] - places[:, None, None, :, 0]
    down = at[None, :, None, None] - places[:, None, None, :, 1]
    right = F.softmax((-(across**2 + down**2) / 2).flatten(1, 2), 1)
    losses = -(right * F.log_softmax(outputs.flatten(1, 2), 1)).sum(1)
    return losses.mean()


def read_pose(outputs: Any) -> Any:
    """The highest place, then a quarter of a place towards the higher of its neighbours; the share around it."""
    batch, side, _, joints = outputs.shape
    flat = outputs.flatten(1, 2)
    best = flat.argmax(1)  # (batch, joints)
    row, column = torch.div(best, side, rounding_mode='floor'), best % side
    framed = F.pad(outputs.permute(0, 3, 1, 2), (1, 1, 1, 1), value=-torch.inf)
    one, joint = torch.arange(batch)[:, None], torch.arange(joints)[None]
    near = {(y, x): framed[one, joint, row + 1 + y, column + 1 + x] for y in (-1, 0, 1) for x in (-1, 0, 1)}
    places = []
    for number, before, after in ((column, near[0, -1], near[0, 1]), (row, near[-1, 0], near[1, 0])):
        inside = before.isfinite() & after.isfinite()
        step = torch.where(inside, 0.25 * torch.sign(torch.where(inside, after - before, 0)), 0)
        places.append((number + 0.5 + step) / side)
    score = torch.exp(torch.logsumexp(torch.stack(list(near.values())), 0) - torch.logsumexp(flat, 1))
    return torch.stack(places, -1), score


class Twin(NamedTuple):
    """A net, its loss (outputs, batch) -> scalar, and what reads its outputs."""

    model: Callable[[], Any]
    loss: Callable[[Any, Batch], Any]
    read: Callable[[Any], Any]


TWINS = {
    'localizer': Twin(Localizer, localization_loss, read_localization),
    'centernet': Twin(CenterNet, detection_loss, read_detection),
    'fcn': Twin(FCN, segmentation_loss, read_segmentation),
    'pose': Twin(SimpleBaseline, pose_loss, read_pose),
}
