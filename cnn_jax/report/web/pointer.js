'use strict';
// What hands do to a scatter: drag, wheel, pinch, click, lasso, and the keys.

// The point nearest to a place of the canvas, within so many pixels; -1 for none.
scatter.nearest = function (plot, x, y, reach) {
  let best = -1, least = reach * reach;
  plot.points.forEach(function (point, number) {
    if (!point || !scatter.stands(plot, number)) return;
    const gap = (scatter.across(plot, point) - x) ** 2 + (scatter.down(plot, point) - y) ** 2;
    if (gap < least) { least = gap; best = number; }
  });
  return best;
};

// The nearest point from the chosen one in a direction, within 45 degrees of it; the first one where none is chosen.
scatter.beside = function (plot, right, up) {
  const from = plot.points[plot.chosen];
  if (!from) return plot.points.findIndex(function (point, number) { return point && scatter.stands(plot, number); });
  let best = plot.chosen, least = Infinity;
  plot.points.forEach(function (point, number) {
    if (!point || number === plot.chosen || !scatter.stands(plot, number)) return;
    const along = (point[0] - from[0]) * right + (point[1] - from[1]) * up;
    const aside = Math.abs((point[0] - from[0]) * up) + Math.abs((point[1] - from[1]) * right);
    if (along > 0 && aside <= along && along + aside < least) { least = along + aside; best = number; }
  });
  return best;
};

// The points within a closed line of places of the canvas: a ray from each crosses it an odd number of times.
scatter.inside = function (plot, line) {
  const found = [];
  plot.points.forEach(function (point, number) {
    if (!point) return;
    const x = scatter.across(plot, point), y = scatter.down(plot, point);
    let odd = false;
    line.forEach(function (one, place) {
      const other = line[(place + 1) % line.length];
      if ((one[1] > y) !== (other[1] > y) && x < (other[0] - one[0]) * (y - one[1]) / (other[1] - one[1]) + one[0]) odd = !odd;
    });
    if (odd) found.push(number);
  });
  return found;
};

// Enlarges around a place of the canvas, which stays where it is.
scatter.zoom = function (plot, factor, x, y) {
  const before = plot.scale;
  plot.scale = Math.max(plot.whole / 2, Math.min(plot.whole * 200, plot.scale * factor));
  const gain = 1 / before - 1 / plot.scale;
  plot.centre = [plot.centre[0] + (x - plot.canvas.clientWidth / 2) * gain, plot.centre[1] - (y - plot.canvas.clientHeight / 2) * gain];
  plot.moved = true;
  scatter.later(plot);
};

scatter.move = function (plot, right, down) {
  plot.centre = [plot.centre[0] - right / plot.scale, plot.centre[1] + down / plot.scale];
  plot.moved = true;
  scatter.later(plot);
};

// Draws once before the next picture of the screen, however much happens until then.
scatter.later = function (plot) {
  if (plot.waiting) return;
  plot.waiting = true;
  requestAnimationFrame(function () { plot.waiting = false; scatter.draw(plot); });
};

scatter.listen = function (plot) {
  const canvas = plot.canvas, held = new Map();
  let far = 0;
  function place(event) {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }
  function gap() {
    const both = Array.from(held.values());
    return Math.hypot(both[0][0] - both[1][0], both[0][1] - both[1][1]);
  }
  canvas.addEventListener('pointerdown', function (event) {
    if (event.button) return;
    if (event.isTrusted) canvas.setPointerCapture(event.pointerId);
    held.set(event.pointerId, place(event));
    far = 0;
    plot.lasso = plot.circling && held.size === 1 ? [place(event)] : null;
  });
  canvas.addEventListener('pointermove', function (event) {
    const before = held.get(event.pointerId), now = place(event);
    if (!before) return;
    const apart = held.size === 2 ? gap() : 0;
    held.set(event.pointerId, now);
    far += Math.hypot(now[0] - before[0], now[1] - before[1]);
    if (plot.lasso) {
      plot.lasso.push(now);
      scatter.later(plot);
    } else if (held.size === 2) scatter.zoom(plot, gap() / (apart || 1), now[0], now[1]);
    else scatter.move(plot, now[0] - before[0], now[1] - before[1]);
  });
  function end(event) {
    if (!held.delete(event.pointerId)) return;
    const line = plot.lasso;
    plot.lasso = null;
    if (event.type === 'pointercancel') scatter.later(plot);
    else if (line && far > 8) plot.told.circle(scatter.inside(plot, line));
    else if (far <= 5) plot.told.pick(scatter.nearest(plot, place(event)[0], place(event)[1], 26));
    if (!line && far > 5) plot.told.view();
  }
  canvas.addEventListener('pointerup', end);
  canvas.addEventListener('pointercancel', end);
  canvas.addEventListener('wheel', function (event) {
    event.preventDefault();
    const at = place(event);
    scatter.zoom(plot, Math.exp(-event.deltaY / 400), at[0], at[1]);
    clearTimeout(plot.settling);
    plot.settling = setTimeout(plot.told.view, 200);
  }, { passive: false });
  canvas.addEventListener('keydown', function (event) { scatter.key(plot, event); });
};

scatter.key = function (plot, event) {
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  const way = ways[event.key], middle = [plot.canvas.clientWidth / 2, plot.canvas.clientHeight / 2];
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (way && event.shiftKey) scatter.move(plot, -60 * way[0], 60 * way[1]);
  else if (way) plot.told.pick(scatter.beside(plot, way[0], way[1]));
  else if (event.key === '+' || event.key === '=') scatter.zoom(plot, 1.4, middle[0], middle[1]);
  else if (event.key === '-') scatter.zoom(plot, 1 / 1.4, middle[0], middle[1]);
  else if (event.key === '0') { scatter.whole(plot); scatter.draw(plot); }
  else if (event.key === 'Escape' && (plot.chosen >= 0 || plot.circled.size)) { plot.told.circle([]); plot.told.pick(-1); }
  else return;
  event.preventDefault();
  event.stopPropagation();
  if (!way || event.shiftKey) plot.told.view();
};
