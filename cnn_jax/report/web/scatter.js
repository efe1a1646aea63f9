'use strict';
// Many points on a canvas, or the images at their places: moved, enlarged, chosen, and circled with a lasso.

const scatter = {
  // A scatter on a canvas that is not drawn before `points` is set. about: labels, looks and, for pictures, a sheet.
  // told: what hears of a chosen point (`pick`), of circled ones (`circle`) and of a moved view (`view`).
  make: function (canvas, about, told) {
    const plot = { canvas: canvas, about: about, told: told, points: [], form: 'points', chosen: -1, only: null,
      circled: new Set(), lasso: null, circling: false, centre: [0, 0], scale: 0, whole: 1, marks: {}, sheet: null };
    if (about.pictures) {
      const image = new Image();
      image.onload = function () {
        plot.sheet = document.createElement('canvas');  // from which parts are copied faster than from an image
        plot.sheet.width = image.width;
        plot.sheet.height = image.height;
        plot.sheet.getContext('2d').drawImage(image, 0, 0);
        scatter.draw(plot);
      };
      image.src = about.pictures.source;
    }
    scatter.listen(plot);
    new ResizeObserver(function () { scatter.draw(plot); }).observe(canvas);
    return plot;
  },

  // Other points: [[across, up], ..]; the view stays where it has been moved by hand.
  set: function (plot, points, form) {
    plot.points = points;
    plot.form = form;
    plot.span = scatter.span(points);
    plot.middles = form === 'points' ? scatter.middles(plot) : [];
    if (!plot.moved) scatter.whole(plot);
    scatter.draw(plot);
  },

  // The least and the largest of each axis.
  span: function (points) {
    return [0, 1].map(function (axis) {
      return points.reduce(function (ends, point) {
        return point ? [Math.min(ends[0], point[axis]), Math.max(ends[1], point[axis])] : ends;
      }, [Infinity, -Infinity]);
    });
  },

  // The middle of each class that has a look of its own: [label, point], that of the most points first.
  middles: function (plot) {
    const places = {};
    plot.points.forEach(function (point, number) {
      const label = plot.about.labels[number];
      if (!plot.about.looks.shapes[label]) return;
      if (!places[label]) places[label] = [];
      places[label].push(point);
    });
    return Object.keys(places).sort(function (one, other) { return places[other].length - places[one].length; }).map(function (label) {
      return [Number(label), [0, 1].map(function (axis) {
        const values = places[label].map(function (point) { return point[axis]; }).sort(function (one, other) { return one - other; });
        return values[values.length >> 1];
      })];
    });
  },

  // All points in the view.
  whole: function (plot) {
    plot.moved = false;
    plot.centre = plot.span.map(function (ends) { return (ends[0] + ends[1]) / 2; });
    plot.scale = 0;
  },

  // Pixels of the page to a unit, so that all points would be in the view.
  fitting: function (plot) {
    const margin = plot.form === 'points' ? 26 : 6;
    const wide = plot.span[0][1] - plot.span[0][0] || 1;
    const high = plot.span[1][1] - plot.span[1][0] || 1;
    const more = plot.form === 'grid' ? 1 : 0;  // half a cell on each side
    return Math.min((plot.wide - 2 * margin) / (wide + more), (plot.high - 2 * margin) / (high + more));
  },

  // The place of a point on the canvas, whose size is remembered: to ask the page for it for each point takes too long.
  across: function (plot, point) { return plot.wide / 2 + (point[0] - plot.centre[0]) * plot.scale; },
  down: function (plot, point) { return plot.high / 2 - (point[1] - plot.centre[1]) * plot.scale; },

  // The view as text, and back from it.
  view: function (plot) {
    return plot.moved ? plot.centre.concat(plot.scale / plot.whole).map(function (value) { return Number(value.toPrecision(4)); }).join(',') : null;
  },

  look: function (plot, text) {
    const numbers = (text || '').split(',').map(Number);
    if (numbers.length !== 3 || !numbers.every(Number.isFinite) || numbers[2] <= 0) return;
    plot.centre = numbers.slice(0, 2);
    plot.wanted = numbers[2];
    plot.moved = true;
  },

  draw: function (plot) {
    const canvas = plot.canvas, ratio = window.devicePixelRatio || 1;
    const wide = canvas.clientWidth, high = canvas.clientHeight;
    plot.wide = wide;
    plot.high = high;
    if (!wide || !plot.points.length) return;
    if (canvas.width !== Math.round(wide * ratio) || canvas.height !== Math.round(high * ratio)) {
      canvas.width = Math.round(wide * ratio);
      canvas.height = Math.round(high * ratio);
    }
    plot.whole = scatter.fitting(plot);
    if (plot.wanted) plot.scale = plot.wanted * plot.whole;
    if (!plot.moved) plot.scale = plot.whole;
    plot.wanted = null;
    plot.context = canvas.getContext('2d');
    plot.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    plot.context.clearRect(0, 0, wide, high);
    plot.context.imageSmoothingEnabled = false;
    if (plot.form === 'points') scatter.drawPoints(plot, ratio);
    else scatter.drawImages(plot);
    scatter.drawRings(plot);
    if (plot.form === 'points') scatter.drawNames(plot);
    if (plot.lasso) scatter.drawLasso(plot);
  },

  // A mark for each point, written into the pixels: 10,000 shapes or pictures of shapes would take too long.
  drawPoints: function (plot, ratio) {
    const size = Math.max(5, Math.min(16, Math.round(14 * Math.sqrt(plot.scale / plot.whole) * Math.min(1, 40 / Math.sqrt(plot.points.length) + 0.5)) / 2));
    const dim = plot.only !== null || plot.circled.size > 0, labels = plot.about.labels, shapes = plot.about.looks.shapes;
    const frame = scatter.frame(plot);
    // What stands out lies above the rest, and a class with a look of its own above those without.
    [[false, false], [false, true], [true, false], [true, true]].forEach(function (kind) {
      const strong = kind[0], named = kind[1], marks = [];
      if (!strong && !dim) return;
      plot.points.forEach(function (point, number) {
        const label = labels[number];
        if (!shapes[label] === named || (dim && scatter.stands(plot, number) !== strong)) return;
        if (!marks[label]) marks[label] = scatter.mark(plot, label, named ? size : 0.7 * size, ratio, dim && !strong);
        const mark = marks[label];
        scatter.stamp(frame, mark, Math.round(ratio * scatter.across(plot, point) - mark.side / 2), Math.round(ratio * scatter.down(plot, point) - mark.side / 2));
      });
    });
    plot.context.putImageData(frame, 0, 0);
  },

  // Whether a point is of what stands out.
  stands: function (plot, number) {
    return (plot.only === null || plot.about.labels[number] === plot.only) && (!plot.circled.size || plot.circled.has(number));
  },

  // Where the image of a number is in the sheet.
  source: function (pictures, number) {
    return [pictures.size[1] * (number % pictures.columns), pictures.size[0] * Math.floor(number / pictures.columns)];
  },

  // The size of an image on the page.
  imageSize: function (plot) {
    const size = plot.about.pictures.size, most = Math.max(size[0], size[1]);
    const side = plot.form === 'grid' ? plot.scale : 22 * Math.sqrt(plot.scale / plot.whole);
    return [side * size[0] / most, side * size[1] / most];
  },

  // Of images at their points that would all but cover each other the first is shown, and the chosen one.
  drawImages: function (plot) {
    const pictures = plot.about.pictures, size = scatter.imageSize(plot), wide = plot.wide, high = plot.high;
    const taken = new Set(), cell = plot.form === 'grid' ? 0 : size[1] / 2;
    if (!plot.sheet) return;
    function put(number) {
      const point = plot.points[number];
      if (!point) return;
      const x = scatter.across(plot, point) - size[1] / 2, y = scatter.down(plot, point) - size[0] / 2;
      if (x > wide || y > high || x < -size[1] || y < -size[0]) return;
      const place = Math.round(x / cell) * 10000 + Math.round(y / cell);
      if (cell && taken.has(place) && number !== plot.chosen) return;
      taken.add(place);
      const from = scatter.source(pictures, number);
      plot.context.globalAlpha = number === plot.chosen || scatter.stands(plot, number) ? 1 : 0.15;
      plot.context.drawImage(plot.sheet, from[0], from[1], pictures.size[1], pictures.size[0], x, y, size[1], size[0]);
    }
    plot.points.forEach(function (_, number) { if (number !== plot.chosen) put(number); });
    if (plot.chosen >= 0) put(plot.chosen);
    plot.context.globalAlpha = 1;
  },

  // Around the chosen point, and around those that `rings` names.
  drawRings: function (plot) {
    const style = getComputedStyle(plot.canvas);
    const rings = (plot.rings || []).map(function (ring) { return [ring[0], style.getPropertyValue(ring[1]), 2]; });
    if (plot.chosen >= 0) rings.push([plot.chosen, style.getPropertyValue('--blue'), 3]);
    rings.forEach(function (ring) {
      const point = plot.points[ring[0]];
      if (!point) return;
      const x = scatter.across(plot, point), y = scatter.down(plot, point);
      plot.context.strokeStyle = ring[1];
      plot.context.lineWidth = ring[2];
      plot.context.beginPath();
      if (plot.form === 'points') plot.context.arc(x, y, ring[2] > 2 ? 10 : 8, 0, 7);
      else plot.context.rect(x - scatter.imageSize(plot)[1] / 2, y - scatter.imageSize(plot)[0] / 2, scatter.imageSize(plot)[1], scatter.imageSize(plot)[0]);
      plot.context.stroke();
    });
  },

  // The name of each class at the middle of its points; one that would cover another is left out.
  drawNames: function (plot) {
    if (plot.about.groups.length < 2) return;
    const taken = [], style = getComputedStyle(plot.canvas);
    plot.context.font = '600 13px system-ui, sans-serif';
    plot.context.textAlign = 'center';
    plot.context.textBaseline = 'middle';
    plot.context.lineJoin = 'round';
    plot.middles.forEach(function (entry) {
      const label = entry[0], middle = entry[1];
      if (plot.only !== null && plot.only !== label) return;
      const full = plot.about.groups[label], name = full.length > 18 ? full.slice(0, 17) + '\u2026' : full;
      const at = scatter.across(plot, middle), y = scatter.down(plot, middle), half = plot.context.measureText(name).width / 2 + 4;
      if (at < 0 || at > plot.wide) return;
      const x = Math.min(Math.max(at, half), plot.wide - half);  // whole, also where the middle is at an edge
      const covers = taken.some(function (box) { return Math.abs(box[0] - x) < box[2] + half && Math.abs(box[1] - y) < 16; });
      if (covers) return;
      taken.push([x, y, half]);
      plot.context.lineWidth = 4;
      plot.context.strokeStyle = style.getPropertyValue('--card');
      plot.context.strokeText(name, x, y);
      plot.context.fillStyle = style.getPropertyValue('--ink');
      plot.context.fillText(name, x, y);
    });
  },

  drawLasso: function (plot) {
    plot.context.beginPath();
    plot.lasso.forEach(function (at) { plot.context.lineTo(at[0], at[1]); });
    plot.context.closePath();
    plot.context.lineWidth = 1.5;
    plot.context.strokeStyle = getComputedStyle(plot.canvas).getPropertyValue('--blue');
    plot.context.stroke();
  },
};
