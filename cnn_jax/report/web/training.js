'use strict';
// The net over its training: what the slider over the steps drives together, and what changes from step to step.

CNN_JAX.views.training = {
  needs: function () { return CNN_JAX.steps.isThere() ? ['space'] : []; },

  show: function (place, state) {
    place.append(make('h2', {}, 'Training'));
    const data = CNN_JAX.steps.isThere() ? CNN_JAX.data.training : null;
    if (!data?.steps.length) return place.append(CNN_JAX.views.training.howTo(data));
    const view = { data: data, at: CNN_JAX.steps.place(state.step), updates: [] };
    CNN_JAX.views.training.view = view;
    place.append(make('p', { class: 'note' }, 'The net at ' + data.steps.length + ' steps from the first to the last, each about as many times the one before. The slider, or the arrow keys, go through them, on the pages of layers, units, images and Space too; ' + CNN_JAX.data.run.images.toLocaleString('en') + ' ' + CNN_JAX.data.run.split + ' images are looked at.'));
    data.failed.forEach(function (text) { place.append(make('p', { class: 'note', role: 'alert' }, 'Left out: ' + text)); });
    const of = CNN_JAX.views.training;
    place.append(make('div', { class: 'panels' }, data.right ? of.scores(view) : null, of.dead(view), of.plane(view), make('div', { class: 'stack' }, of.filters(view), data.births[0] ? of.births(view, state) : null)), of.classes(view), of.maps(view, state));
    of.move(view.at);
  },

  howTo: function (data) {
    if (data) return make('p', { class: 'note', role: 'alert' }, 'No step of its history can be shown: ' + data.failed.join('; ') + '.');
    if (CNN_JAX.data.run.history.length) {
      return make('p', { class: 'note' }, 'The history of this run has ' + CNN_JAX.data.run.history.length + ' steps. To look at them: ', make('code', {}, 'python -m cnn_jax.main --mode=report --workdir=RUN'));
    }
    return make('p', { class: 'note' }, 'This run has kept no history. A new run keeps one with ', make('code', {}, '--config.history=16'),
      ' where its experiment has that option; any other with ', make('code', {}, 'Experiment(..., history=16)'), ' in its file. The steps stay in ', make('code', {}, 'checkpoints/history'), '.');
  },

  // Shows another step everywhere.
  move: function (at) {
    const view = CNN_JAX.views.training.view;
    view.at = Math.max(0, Math.min(view.data.steps.length - 1, at));
    view.updates.forEach(function (update) { update(view.at); });
  },

  turn: function (by) { CNN_JAX.steps.turn(by); },

  // Lines over the kept steps, which are equally far apart; a click goes to a step. lines: [name, values].
  lines: function (view, title, lines, most, words) {
    const wide = 520, high = 190, left = 60, right = 12, top = 12, bottom = 34, steps = view.data.steps;
    function across(at) { return left + (wide - left - right) * at / Math.max(1, steps.length - 1); }
    function down(value) { return top + (high - top - bottom) * (1 - value / (most || 1)); }
    const svg = make('svg', { viewBox: '0 0 ' + wide + ' ' + high, role: 'img', 'aria-label': title + ' over the steps of the history', class: 'curve kept-steps', onclick: function (event) {
      const box = svg.getBoundingClientRect();
      const at = Math.round(((event.clientX - box.left) * wide / box.width - left) / (wide - left - right) * (steps.length - 1));
      CNN_JAX.steps.turn(Math.max(0, Math.min(steps.length - 1, at)) - view.at);
    } });
    [0, most / 2, most].forEach(function (value) {
      svg.append(make('line', { x1: left, x2: wide - right, y1: down(value), y2: down(value), class: 'rule' }), make('text', { x: left - 7, y: down(value) + 4, 'text-anchor': 'end' }, words(value)));
    });
    const every = Math.ceil(steps.length / 8);
    steps.forEach(function (step, at) {
      const last = at === steps.length - 1;
      if (last || at % every === 0 && at + every / 2 < steps.length - 1) svg.append(make('text', { x: across(at), y: high - 10, 'text-anchor': last ? 'end' : 'middle' }, last ? 'step ' + step : String(step)));
    });
    const now = make('line', { y1: top, y2: high - bottom, class: 'tick now' });
    svg.append(now);
    lines.forEach(function (line, number) {
      const path = line[1].map(function (value, at) { return across(at).toFixed(1) + ' ' + down(value).toFixed(1); });
      svg.append(make('path', { d: 'M' + path.join('L'), fill: 'none', class: number ? 'faint' : 'of-train' }, make('title', {}, line[0])));
    });
    view.updates.push(function (at) { now.setAttribute('x1', across(at)); now.setAttribute('x2', across(at)); });
    return svg;
  },

  scores: function (view) {
    const words = make('p', { class: 'note' });
    view.updates.push(function (at) { words.textContent = percent(view.data.right[at]) + ' of the images are answered right at this step.'; });
    return make('figure', {}, make('h3', {}, 'Answered right'), CNN_JAX.views.training.lines(view, 'Answered right', [['right', view.data.right]], 1, function (value) { return 100 * value + ' %'; }), words);
  },

  // Dead units of all layers together, and of which at the step.
  dead: function (view) {
    const data = view.data, names = CNN_JAX.data.run.layers.map(function (layer) { return layer.name; });
    const total = data.steps.map(function (_, at) { return data.dead.reduce(function (sum, counts) { return sum + counts[at]; }, 0); });
    const units = data.units.reduce(function (sum, count) { return sum + count; }, 0);
    const words = make('p', { class: 'note' });
    view.updates.push(function (at) {
      const where = names.map(function (name, layer) { return [data.dead[layer][at], name]; }).filter(function (entry) { return entry[0]; });
      words.textContent = total[at] + ' of ' + units + ' units are dead at this step' + (where.length ? ': ' + where.map(function (entry) { return entry.join(' in '); }).join(', ') : '') + '.';
    });
    const most = Math.max.apply(null, total.concat(2));
    return make('figure', {}, make('h3', {}, 'Dead units'), CNN_JAX.views.training.lines(view, 'Dead units', [['dead units', total]], most, function (value) { return String(Math.round(value)); }), words);
  },

  plane: function (view) {
    const data = view.data;
    const canvas = make('canvas', { class: 'scatter small', tabindex: '0', role: 'application', 'aria-label': 'the images in the space of ' + data.layer + ', by PCA at each step' });
    const about = { labels: CNN_JAX.data.space.labels, looks: CNN_JAX.data.space.looks, groups: CNN_JAX.data.space.groups };
    const plot = scatter.make(canvas, about, { pick: function (chosen) { plot.chosen = chosen; scatter.draw(plot); }, circle: function () {}, view: function () {} });
    const words = make('p', { class: 'note' });
    view.updates.push(function (at) {
      const plane = data.planes[at];
      scatter.set(plot, plane.points, 'points');
      words.textContent = plane.spread ? 'PCA of this step, scaled to one size: ' + percent(plane.variance[0] + plane.variance[1]) + ' of the variance, spread ' + short(plane.spread) + '. It is turned to lie as at the step after it.' : 'All images are in one place.';
    });
    return make('figure', {}, make('h3', {}, 'The images in the space of ', make('a', { href: '#page=space&plane=pca&layer=' + encodeURIComponent(data.layer) }, data.layer)), canvas, words);
  },

  // The filters of the first layer, on one scale for all steps.
  filters: function (view) {
    const packed = view.data.filters;
    if (!packed) return null;
    const colour = packed.shape[2] === 3, place = make('div', { class: 'thumbs filters' });
    view.updates.push(function (at) {
      place.replaceChildren.apply(place, Array.from({ length: packed.shape[1] }, function (_, unit) {
        const label = 'filter ' + unit + ' at step ' + view.data.steps[at];
        return colour ? paint.colourKernel(packed, [at, unit], packed.limit, label) : paint.canvas(paint.picture(packed, [at, unit, 0]), packed.limit, label);
      }));
    });
    return make('figure', {}, make('h3', {}, 'First filters'), place, colour ? null : paint.bar(packed.signed, packed.limit));
  },

  // What the net of the step takes for each class, with the score that it gives.
  classes: function (view) {
    const made = view.data.classes, title = titled('What it takes for each class', 'class_images');
    if (!made.images) return make('section', { class: 'class-images' }, title, make('p', { class: 'note' }, 'Left out: ' + made.left_out + '.'));
    const place = make('div', { class: 'of-classes' });
    view.updates.push(function (at) {
      place.replaceChildren.apply(place, made.classes.map(function (label, number) {
        const words = CNN_JAX.className(label) + ', score ' + brief(made.scores[at][number]);
        return make('div', {}, paint.pixels(made.images, [at, number], 'made for ' + words + ' at step ' + view.data.steps[at]),
          make('p', { class: 'label', title: words }, make('b', {}, CNN_JAX.className(label)), make('br'), 'score ' + brief(made.scores[at][number])));
      }));
    });
    const part = made.classes.length < CNN_JAX.data.run.classes.length ? ' Of the first ' + made.classes.length + ' of ' + CNN_JAX.data.run.classes.length + ' classes; for others --set.classes.' : '';
    return make('section', { class: 'class-images' }, title, place, make('p', { class: 'note' }, 'Images made to raise the score of a class, from the same noise at every step: ' + made.settings + '.' + part));
  },

  // The correlation of each unit with its class, a row for a unit, in the order of their births.
  births: function (view, state) {
    const data = view.data, names = CNN_JAX.data.run.layers.map(function (layer) { return layer.name; });
    const number = Math.max(0, state.layer === undefined ? names.indexOf(data.layer) : names.indexOf(state.layer));
    const found = data.births[number], packed = found.correlations;
    const units = found.born.map(function (_, unit) { return unit; }).sort(function (one, other) {
      return (found.born[one] === null) - (found.born[other] === null) || found.born[one] - found.born[other] || one - other;
    });
    const rows = units.map(function (unit) {
      const strip = { packed: packed, height: 1, width: data.steps.length, bytes: paint.bytes(packed).subarray(unit * data.steps.length, (unit + 1) * data.steps.length) };
      const when = found.born[unit] === null ? 'never' : String(data.steps[found.born[unit]]);
      const words = names[number] + ' unit ' + unit + ', ' + CNN_JAX.className(found.classes[unit]) + ', ' + (when === 'never' ? 'goes with no class' : 'born at step ' + when);
      return make('a', { class: 'birth', href: CNN_JAX.link({ layer: names[number], unit: unit, page: null }), title: words },
        make('b', {}, String(unit)), paint.canvas(strip, 1, words), make('span', { class: 'name' }, CNN_JAX.className(found.classes[unit])), make('span', { class: 'number' }, when));
    });
    const words = make('p', { class: 'note' });
    view.updates.push(function (at) {
      const born = found.born.filter(function (step) { return step !== null && step <= at; }).length;
      words.textContent = born + ' of ' + units.length + ' units are born at this step: from then on a unit has at least half of the correlation with its class that it has in the end.';
    });
    return make('figure', {}, make('h3', {}, 'Birth of the units of ', CNN_JAX.views.training.layers(names, number)), make('p', { class: 'birth heads' }, make('b', {}, 'unit'), make('span', {}, 'correlation, first to last step'), make('span', { class: 'name' }, 'class'), make('span', { class: 'number' }, 'born at')),
      make('div', { class: 'births', tabindex: '0', role: 'group', 'aria-label': 'units in the order of their births' }, rows), paint.bar(packed.signed, 1), words);
  },

  layers: function (names, number) {
    const pick = choice('', names.map(function (name) { return [name, name]; }), names[number], function (name) { go({ layer: name }); });
    pick.querySelector('select').setAttribute('aria-label', 'layer');
    return pick;
  },

  // One image: its scores, and the first maps of each layer.
  maps: function (view, state) {
    const data = view.data, wanted = data.images.indexOf(Number(state.image)), image = Math.max(0, wanted);
    const points = CNN_JAX.data.space, each = state.scale !== 'all';
    const strip = make('div', { class: 'strip' }, data.images.map(function (row, number) {
      return make('a', { href: CNN_JAX.link({ image: row }), 'aria-current': number === image ? 'true' : null, title: 'image ' + row }, CNN_JAX.thumbnail(points.rows.indexOf(row), 36));
    }));
    const scores = make('div', {}), rows = make('div', {});
    view.updates.push(function (at) {
      if (data.scores[image].length) scores.replaceChildren(charts.scores({ classes: [points.labels[points.rows.indexOf(data.images[image])]], top: data.scores[image][at] }));
      rows.replaceChildren.apply(rows, CNN_JAX.data.run.layers.map(function (about, layer) { return CNN_JAX.views.training.row(data, layer, about.name, at, image, each); }));
    });
    return make('section', { class: 'trained-maps' }, make('h3', {}, 'The maps of image ' + data.images[image]), strip,
      make('div', { class: 'controls' }, choice('Colours to the largest of a layer at', [['step', 'this step'], ['all', 'all steps']], each ? 'step' : 'all', function (key) { go({ scale: key }); })),
      data.scores[image].length ? make('figure', {}, make('h3', {}, 'What the net says'), scores) : null, rows);
  },

  row: function (data, layer, name, at, image, each) {
    const packed = data.maps[layer], shape = packed.shape, small = shape[3] === 1 && shape[4] === 1;
    const pictures = Array.from({ length: shape[2] }, function (_, unit) { return paint.picture(packed, [at, image, unit]); });
    const limit = each ? Math.max.apply(null, pictures.map(paint.largest)) : packed.limit;
    const of = shape[2] < data.units[layer] ? ', the first ' + shape[2] + ' of ' + data.units[layer] : '';
    return make('div', { class: 'maps' }, make('h3', {}, name, make('span', { class: 'more' }, of)), paint.bar(packed.signed, limit),
      make('div', { class: small ? 'cells' : 'thumbs' }, pictures.map(function (picture, unit) { return paint.canvas(picture, limit, name + ' unit ' + unit); })));
  },
};
