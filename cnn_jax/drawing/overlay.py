"""What is right and what was answered, drawn on an image: boxes, joints and limbs, masks."""

import colorsys
from collections.abc import Sequence

import numpy as np

RIGHT, ANSWER = (64, 200, 90), (255, 140, 0)  # green and orange, on photographs and on black
LIGHT = (0.85, 0.4, 0)  # of full light, the share of what is missing to white in red, green and blue
WHITE = (255, 255, 255)
LEAST_SIDE = 240  # pixels; smaller images are enlarged, each pixel a square
GAP = 6  # pixels between two pictures


class Overlay:
    """An image that is drawn on.

    image: uint8 (height, width, 1 or 3). Places are (x, y) in its pixels, as in `data.formats.annotations`.
    """

    def __init__(self, image: np.ndarray):
        from PIL import Image, ImageDraw

        self.scale = max(1, -(-LEAST_SIDE // max(image.shape[:2])))
        large = image.repeat(self.scale, 0).repeat(self.scale, 1)
        self._picture = Image.fromarray(large[..., 0] if large.shape[2] == 1 else large).convert('RGB')
        self._draw = ImageDraw.Draw(self._picture)
        self._line = max(1, max(large.shape[:2]) // 120)
        self._text = max(10, max(large.shape[:2]) // 24)  # pixels: the same share of any picture

    def boxes(self, boxes: np.ndarray, colour: tuple[int, int, int], words: Sequence[str] = ()) -> None:
        """Boxes (boxes, 4), (left, top, right, bottom), with words above them; those without an area are left out."""
        for number, box in enumerate(np.asarray(boxes, float)):
            left, top, right, bottom = (box * self.scale).tolist()
            if not np.isfinite(box).all() or right <= left or bottom <= top:
                continue
            self._draw.rectangle((left, top, right - 1, bottom - 1), outline=colour, width=self._line)
            if number < len(words) and words[number]:
                most = self._picture.width - self._draw.textlength(words[number], font_size=self._text) - 2
                place = max(2, min(left + 2, most)), max(0, top - self._text - 2)
                self._write(place, words[number], colour, self._text)

    def joints(
        self,
        places: np.ndarray,
        colour: tuple[int, int, int],
        *,
        limbs: Sequence[tuple[int, int]] = (),
        seen: np.ndarray | None = None,
    ) -> None:
        """Joints (joints, 2) as dots, and the limbs between pairs of them; `seen`: bool (joints,), which are there."""
        there = np.isfinite(places).all(-1) & (np.ones(len(places), bool) if seen is None else seen)
        points = [tuple(point) for point in (np.where(there[:, None], places, 0) * self.scale).tolist()]
        for one, other in limbs:
            if there[one] and there[other]:
                self._draw.line((*points[one], *points[other]), fill=colour, width=self._line)
        for (x, y), drawn in zip(points, there.tolist(), strict=True):
            if drawn:
                reach = 1.5 * self._line
                self._draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=colour)

    def mask(self, classes: np.ndarray, colours: np.ndarray, *, ignored: int) -> None:
        """The class of each pixel, int (height, width), as a tint with its outline; class 0 and `ignored` have none.

        colours: uint8 (classes, 3).
        """
        from PIL import Image, ImageDraw

        large = np.asarray(classes).repeat(self.scale, 0).repeat(self.scale, 1)
        shown = (large > 0) & (large != ignored)
        tints = colours[np.where(shown, large, 0)]
        pixels = np.asarray(self._picture).astype(np.float32)
        around = np.pad(large, 1, mode='edge')
        edge = np.zeros(large.shape, bool)
        for moved in (around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:]):
            edge |= moved != large
        strength = np.where(shown, np.where(edge, 1.0, 0.45), 0.0)[..., None]
        self._picture = Image.fromarray((pixels * (1 - strength) + tints * strength).round().astype(np.uint8))
        self._draw = ImageDraw.Draw(self._picture)

    def light(self, values: np.ndarray, limit: float) -> None:
        """Lays an orange light where the weight is, on the image at half its brightness.

        values: (rows, columns) of a coarse map, interpolated. limit: the value with full light.
        """
        from PIL import Image, ImageDraw

        shares = np.clip(np.nan_to_num(np.asarray(values, np.float32)) / (limit or 1), 0, 1)
        smooth = np.asarray(Image.fromarray(shares).resize(self._picture.size, Image.Resampling.BILINEAR))
        dim = np.asarray(self._picture).astype(np.float32) / 2
        pixels = dim + (255 - dim) * smooth[..., None] * np.array(LIGHT, np.float32)
        self._picture = Image.fromarray(pixels.round().astype(np.uint8))
        self._draw = ImageDraw.Draw(self._picture)

    def word(self, text: str, colour: tuple[int, int, int]) -> None:
        """A word in the upper left corner."""
        self._write((4, 2), text, colour, 3 * self._text)

    def _write(self, place: tuple[float, float], text: str, colour: tuple[int, int, int], size: int) -> None:
        outline = max(2, self._line)
        self._draw.text(place, text, fill=colour, stroke_width=outline, stroke_fill=(0, 0, 0), font_size=size)

    @property
    def pixels(self) -> np.ndarray:
        """What has been drawn, uint8 (height, width, 3)."""
        return np.asarray(self._picture)


def class_colours(count: int) -> np.ndarray:
    """A colour for each class, uint8 (count, 3): hues far apart for numbers side by side; 0, the ground, has grey."""
    hues = [(0.618034 * number) % 1 for number in range(count - 1)]
    bright = [colorsys.hsv_to_rgb(hue, 0.75, 1.0) for hue in hues]
    return (255 * np.array([(0.5, 0.5, 0.5), *bright])).round().astype(np.uint8)


def beside(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Two pictures of one size, uint8 (height, width, 3), with a white gap between them."""
    gap = np.full((left.shape[0], GAP, 3), 255, np.uint8)
    return np.concatenate([left, gap, right], 1)
