"""What is right and what was answered, drawn on an image: boxes, joints and limbs."""

from collections.abc import Sequence

import numpy as np

RIGHT, ANSWER = (64, 200, 90), (255, 140, 0)  # green and orange, on photographs and on black
LEAST_SIDE = 192  # pixels; smaller images are enlarged, each pixel a square


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

    def boxes(self, boxes: np.ndarray, colour: tuple[int, int, int], words: Sequence[str] = ()) -> None:
        """Boxes (boxes, 4), (left, top, right, bottom), with words above them; those without an area are left out."""
        for number, box in enumerate(np.asarray(boxes, float)):
            left, top, right, bottom = (box * self.scale).tolist()
            if not np.isfinite(box).all() or right <= left or bottom <= top:
                continue
            self._draw.rectangle((left, top, right - 1, bottom - 1), outline=colour, width=self._line)
            if number < len(words) and words[number]:
                self._draw.text((left + 2, max(0, top - 12)), words[number], fill=colour)

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

    @property
    def pixels(self) -> np.ndarray:
        """What has been drawn, uint8 (height, width, 3)."""
        return np.asarray(self._picture)
