'use strict';
// Curves over the steps, spreads of a unit in each class, and bars of scores.

const charts = {
  // One metric over the steps, with a tick for each checkpoint.
  curve: function (curve, checkpoints, step) {
    const wide = 520, high = 210, left = 60, right = 12, top = 12, bottom = 34;
    const series = Object.keys(curve.splits).filter(function (split) { return curve.splits[split][0].length; });
    const steps = series.flatMap(function (split) { return curve.splits[split][0]; }).concat(checkpoints);
    const values = series.flatMap(function (split) { return curve.splits[split][1]; });
    const last = Math.max.apply(null, steps.concat(1));
    const end = curve.percent ? 1 : Math.max.apply(null, values) || 1;
    const least = Math.min.apply(null, values);
    const log = !curve.percent && least > 0 && end > 20 * least;
    const low = log ? least : curve.percent ? Math.floor(20 * least) / 20 : Math.min(0, least);
    function scaled(value) { return log ? Math.log(value) : value; }
    function across(at) { return left + (wide - left - right) * at / last; }
    function down(value) {
      const share = (scaled(value) - scaled(low)) / ((scaled(end) - scaled(low)) || 1);
      return top + (high - top - bottom) * (1 - share);
    }
    const middle = log ? Math.sqrt(low * end) : (low + end) / 2;
    function words(value) { return curve.percent ? Math.round(100 * value) + ' %' : brief(value); }
    const svg = make('svg', { viewBox: '0 0 ' + wide + ' ' + high, role: 'img', 'aria-label': curve.title + ' over the steps', class: 'curve' });
    [low, middle, end].forEach(function (value) {
      svg.append(make('line', { x1: left, x2: wide - right, y1: down(value), y2: down(value), class: 'rule' }));
      svg.append(make('text', { x: left - 7, y: down(value) + 4, 'text-anchor': 'end' }, words(value)));
    });
    checkpoints.forEach(function (at) {
      const tick = make('line', { x1: across(at), x2: across(at), y1: high - bottom, y2: high - bottom + 7, class: at === step ? 'tick now' : 'tick' });
      tick.append(make('title', {}, 'checkpoint at step ' + at));
      svg.append(tick);
    });
    series.forEach(function (split) { svg.append(charts.line(curve.splits[split], split, across, down)); });
    svg.append(make('text', { x: left, y: high - 8 }, '0'));
    svg.append(make('text', { x: wide - right, y: high - 8, 'text-anchor': 'end' }, 'step ' + Math.round(last)));
    return make('figure', {}, make('h3', {}, curve.title.charAt(0).toUpperCase() + curve.title.slice(1)), charts.legend(series), svg);
  },

  // The line of a split; a single point is a mark.
  line: function (points, split, across, down) {
    const group = make('g', { class: 'of-' + split });
    const places = points[0].map(function (at, number) { return across(at).toFixed(1) + ' ' + down(points[1][number]).toFixed(1); });
    if (places.length > 1) group.append(make('path', { d: 'M' + places.join('L'), fill: 'none' }));
    if (places.length > 30) return group;
    points[0].forEach(function (at, number) {
      const mark = make('rect', { x: across(at) - 3, y: down(points[1][number]) - 3, width: 6, height: 6 });
      mark.append(make('title', {}, split + ', step ' + Math.round(at) + ': ' + short(points[1][number])));
      group.append(mark);
    });
    return group;
  },

  legend: function (series) {
    return make('p', { class: 'key' }, series.map(function (split) {
      const words = { train: 'training batches', validation: 'validation images', test: 'test images' }[split];
      return make('span', { class: 'of-' + split }, make('i', {}), words);
    }));
  },

  // How the mean activation of a unit is spread in each class: a row for each, as high as its largest bin.
  histogram: function (histogram) {
    const rows = histogram.classes.map(function (number, row) {
      const counts = histogram.counts[row];
      const most = Math.max.apply(null, counts.concat(1));
      const bars = counts.map(function (count, bin) {
        const height = count ? Math.max(1.5, 24 * count / most) : 0;
        return make('rect', { x: 12 * bin + 1, y: 25 - height, width: 10, height: height });
      });
      const total = counts.reduce(function (sum, count) { return sum + count; }, 0);
      const name = number === null ? 'all images' : CNN_JAX.className(number), label = name + ': ' + total + ' images';
      const svg = make('svg', { viewBox: '0 0 ' + 12 * counts.length + ' 26', preserveAspectRatio: 'none', role: 'img', 'aria-label': label }, bars);
      return make('div', { class: 'spread' }, make('span', { class: 'name', title: label }, name), svg);
    });
    rows.push(make('div', { class: 'spread ends' }, make('span', { class: 'name' }), make('span', { class: 'ends' },
      make('span', {}, short(histogram.from)), make('span', {}, 'mean activation'), make('span', {}, short(histogram.to)))));
    return make('div', { class: 'histogram' }, rows);
  },

  // The likeliest classes of an image with their probabilities; those that it shows are marked.
  scores: function (image) {
    return make('ol', { class: 'scores' }, image.top.map(function (entry) {
      const right = image.classes.indexOf(entry[0]) >= 0;
      return make('li', { class: right ? 'right' : null }, make('span', { class: 'name', title: CNN_JAX.className(entry[0]) }, CNN_JAX.className(entry[0]) + (right ? ' \u2713' : '')),
        make('span', { class: 'track' }, make('span', { style: 'width:' + 100 * entry[1] + '%' })), make('span', { class: 'number' }, percent(entry[1])));
    }));
  },
};
