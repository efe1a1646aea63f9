'use strict';
// The marks of a scatter: a colour and a shape for each class, and how they get into the pixels.

// The pixels of the canvas, all in the colour of the page's cards.
scatter.frame = function (plot) {
  const canvas = plot.canvas;
  if (!plot.pixels || plot.pixels.width !== canvas.width || plot.pixels.height !== canvas.height) plot.pixels = plot.context.createImageData(canvas.width, canvas.height);
  const card = scatter.rgb(getComputedStyle(canvas).getPropertyValue('--card'));
  new Uint32Array(plot.pixels.data.buffer).fill(new Uint32Array(new Uint8Array(card.concat(255)).buffer)[0]);
  return plot.pixels;
};

// '#rrggbb' as numbers.
scatter.rgb = function (colour) {
  return [1, 3, 5].map(function (place) { return parseInt(colour.trim().slice(place, place + 2), 16); });
};

// Lays a mark over pixels; what would be outside is left out.
scatter.stamp = function (frame, mark, left, top) {
  const data = frame.data, side = mark.side;
  const first = Math.max(0, -left), last = Math.min(side, frame.width - left), low = Math.min(side, frame.height - top);
  for (let row = Math.max(0, -top); row < low; row += 1) {
    for (let column = first; column < last; column += 1) {
      const cover = mark.cover[row * side + column], at = 4 * ((top + row) * frame.width + left + column);
      if (cover) {
        data[at] += (mark.colour[0] - data[at]) * cover;
        data[at + 1] += (mark.colour[1] - data[at + 1]) * cover;
        data[at + 2] += (mark.colour[2] - data[at + 2]) * cover;
      }
    }
  }
};

// The colour and the shape of a class; without its own it is a small grey circle.
scatter.lookOf = function (plot, label) {
  const looks = plot.about.looks;
  return { colour: looks[paint.isDark() ? 'dark' : 'light'][label] || '#8A9299', shape: looks.shapes[label] || 'circle' };
};

// The mark of a class: how much of each pixel of a square it covers, 0 to 1, and its colour.
scatter.mark = function (plot, label, size, ratio, dim) {
  const look = scatter.lookOf(plot, label);
  const key = [look.colour, look.shape, size, ratio, dim].join();
  if (plot.marks[key]) return plot.marks[key];
  const canvas = document.createElement('canvas'), side = Math.ceil((size + 3) * ratio);
  canvas.width = canvas.height = side;
  const context = canvas.getContext('2d');
  context.setTransform(ratio, 0, 0, ratio, side / 2, side / 2);
  context.fill(new Path2D(scatter.outline(look.shape, size / 2)));
  const drawn = context.getImageData(0, 0, side, side).data;
  const cover = Float32Array.from({ length: side * side }, function (_, place) { return (dim ? 0.13 : 0.9) * drawn[4 * place + 3] / 255; });
  plot.marks[key] = { side: side, cover: cover, colour: scatter.rgb(look.colour) };
  return plot.marks[key];
};

// The outline of a shape around 0, as a path; shapes of the same weight for the eye.
scatter.outline = function (shape, r) {
  function corners(count, turn, radii) {
    return 'M' + Array.from({ length: count }, function (_, number) {
      const angle = turn + 2 * Math.PI * number / count, radius = radii[number % radii.length];
      return (radius * Math.cos(angle)).toFixed(2) + ' ' + (radius * Math.sin(angle)).toFixed(2);
    }).join('L') + 'Z';
  }
  const half = Math.PI / 2, thin = 0.36 * r;
  const plus = 'M' + [[-thin, -r], [thin, -r], [thin, -thin], [r, -thin], [r, thin], [thin, thin], [thin, r], [-thin, r], [-thin, thin], [-r, thin], [-r, -thin], [-thin, -thin]].map(function (at) { return at.join(' '); }).join('L') + 'Z';
  const made = {
    circle: function () { return 'M' + -r + ' 0A' + r + ' ' + r + ' 0 1 0 ' + r + ' 0A' + r + ' ' + r + ' 0 1 0 ' + -r + ' 0Z'; },
    square: function () { return corners(4, Math.PI / 4, [1.25 * r]); },
    diamond: function () { return corners(4, 0, [1.2 * r]); },
    up: function () { return corners(3, -half, [1.25 * r]); },
    down: function () { return corners(3, half, [1.25 * r]); },
    plus: function () { return plus; },
    star: function () { return corners(10, -half, [1.3 * r, 0.55 * r]); },
    cross: function () { return corners(8, 0, [0.5 * r, 1.3 * r]); },
  };
  return made[shape]();
};
