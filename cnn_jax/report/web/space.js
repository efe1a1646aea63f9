'use strict';
// The images in the space of a layer: a plane of them, groups by lasso, and the nearest in features and in pixels.

CNN_JAX.views.space = {
  needs: function (state) { return ['space', 'space_' + CNN_JAX.views.space.number(state)]; },

  // The number of the layer that the state names, where its space is there, else of the one before the scores.
  number: function (state) {
    const kept = CNN_JAX.steps.at(state) === null ? -1 : CNN_JAX.layerNumber(CNN_JAX.data.training.layer);
    if (kept >= 0 && CNN_JAX.data.run.spaces.indexOf(kept) >= 0) return kept;
    const found = CNN_JAX.layerNumber(state.layer);
    return CNN_JAX.data.run.spaces.indexOf(found) >= 0 ? found : CNN_JAX.data.run.space;
  },

  show: function (place, state) {
    const about = CNN_JAX.data.space, number = CNN_JAX.views.space.number(state);
    const at = CNN_JAX.steps.at(state), layer = CNN_JAX.views.space.layerAt(CNN_JAX.data['space_' + number], at);
    const plane = layer.planes.tsne && state.plane !== 'pca' ? 'tsne' : 'pca';
    const form = (layer.neighbours ? ['images', 'grid'] : ['images']).indexOf(state.form) >= 0 ? state.form : 'points';
    place.append(make('h2', {}, 'Space'), make('p', { class: 'note' }, CNN_JAX.views.space.words(layer, plane)));
    const canvas = make('canvas', { class: 'scatter', tabindex: '0', role: 'application', 'aria-label': CNN_JAX.views.space.label(layer, plane) });
    const nearest = make('div', { class: 'nearest', 'aria-live': 'polite' }), group = make('div', { class: 'group', 'aria-live': 'polite' });
    const told = {
      pick: function (chosen) {
        CNN_JAX.remember({ image: chosen < 0 ? null : about.rows[chosen] });
        CNN_JAX.views.space.pick(plot, layer, nearest, chosen);
      },
      circle: function (circled) { CNN_JAX.views.space.circle(plot, group, circled); },
      view: function () { CNN_JAX.remember({ view: scatter.view(plot) }); },
    };
    if (at !== null) place.append(CNN_JAX.steps.note('Of each step the plane of ' + layer.name + ' by PCA is kept, scaled to one size and turned to lie as at the step after it.'));
    const plot = scatter.make(canvas, about, told);
    plot.only = state.class === undefined ? null : Number(state.class);
    scatter.look(plot, state.view);
    place.append(CNN_JAX.views.space.controls(plot, layer, plane, form));
    if (!layer.planes.tsne && at === null) place.append(CNN_JAX.views.space.howToLay(layer));
    place.append(canvas, make('p', { class: 'more' }, 'Drag to move, wheel or + and \u2212 to enlarge, click an image for its neighbours. Keys: arrows go from image to image, with Shift they move, 0 shows all.'));
    place.append(CNN_JAX.views.space.legend(plot), nearest, group);
    scatter.set(plot, form === 'grid' ? CNN_JAX.views.space.cells(layer.planes[plane].grid, about.rows.length) : layer.planes[plane].points, form);
    CNN_JAX.views.space.plot = plot;
    CNN_JAX.views.space.circle(plot, group, []);
    CNN_JAX.views.space.pick(plot, layer, nearest, state.image === undefined ? -1 : about.rows.indexOf(Number(state.image)));
  },

  // The layer with its plane at a step of the training.
  layerAt: function (layer, at) {
    if (at === null) return layer;
    const plane = CNN_JAX.data.training.planes[at];
    return Object.assign(Object.create(layer), { planes: { pca: { points: plane.points, grid: null } }, variance: plane.variance, neighbours: null });
  },

  words: function (layer, plane) {
    const run = CNN_JAX.data.run, count = CNN_JAX.data.space.rows.length;
    const start = count.toLocaleString('en') + ' ' + run.split + ' images as ' + layer.name + ' sees them, each as ' + layer.size + ' numbers. ';
    if (plane === 'tsne') {
      return start + 't-SNE keeps neighbours together (trustworthiness ' + short(layer.trustworthiness) + '); its axes, and the distances between groups, mean nothing.';
    }
    if (!layer.variance[0]) return start + 'All of them are the same.';
    return start + 'PCA: the plane of the most variance, ' + percent(layer.variance[0]) + ' across and ' + percent(layer.variance[1]) + ' upwards.';
  },

  label: function (layer, plane) {
    return CNN_JAX.data.space.rows.length + ' images in the space of ' + layer.name + ', laid out by ' + (plane === 'tsne' ? 't-SNE' : 'PCA') +
      '. Arrow keys go from image to image; its neighbours are told below.';
  },

  controls: function (plot, layer, plane, form) {
    const run = CNN_JAX.data.run, names = run.spaces.map(function (one) { return run.layers[one].name; }), planes = [['tsne', 't-SNE'], ['pca', 'PCA']].filter(function (entry) { return layer.planes[entry[0]]; });
    const forms = [['points', 'points'], ['images', 'images at their points']].concat(layer.neighbours ? [['grid', 'images in a grid']] : []);
    const lasso = make('button', { type: 'button', class: 'switch', 'aria-pressed': 'false', onclick: function () {
      plot.circling = !plot.circling;
      lasso.setAttribute('aria-pressed', String(plot.circling));
      plot.canvas.classList.toggle('circling', plot.circling);
    } }, 'Lasso');
    function zoom(factor) { scatter.zoom(plot, factor, plot.canvas.clientWidth / 2, plot.canvas.clientHeight / 2); plot.told.view(); }
    return make('div', { class: 'controls' },
      choice('Space of', names.map(function (name) { return [name, name]; }), layer.name, function (name) { go({ layer: name, view: null }); }),
      choice('Laid out by', planes, plane, function (key) { go({ plane: key, view: null }); }),
      choice('Show', forms, form, function (key) { go({ form: key, view: null }); }),
      make('span', { class: 'switches' }, lasso,
        make('button', { type: 'button', class: 'switch', 'aria-label': 'enlarge', onclick: function () { zoom(1.5); } }, '+'),
        make('button', { type: 'button', class: 'switch', 'aria-label': 'make smaller', onclick: function () { zoom(1 / 1.5); } }, '\u2212'),
        make('button', { type: 'button', class: 'switch', onclick: function () { scatter.whole(plot); scatter.draw(plot); plot.told.view(); } }, 'All')));
  },

  howToLay: function (layer) {
    if (layer.not_laid) return make('p', { class: 'note' }, 'No t-SNE of this layer: ' + layer.not_laid + '.');
    const laid = CNN_JAX.data.space.laid;
    if (laid) return make('p', { class: 'note' }, laid.length ? 'There is a t-SNE of ' + laid.join(', ') + '.' : 'No layer was laid out by t-SNE: the page was written with --set.laid=0.');
    return make('p', { class: 'note' }, 'For t-SNE, and for the other layers: ', make('code', {}, 'python -m cnn_jax.main --mode=report --workdir=RUN'));
  },

  // The place of each image in a grid of cells, one unit apart; null for one without a cell.
  cells: function (grid, count) {
    const places = Array.from({ length: count }, function () { return null; });
    grid.forEach(function (line, row) {
      line.forEach(function (number, column) { if (number >= 0) places[number] = [column, -row]; });
    });
    return places;
  },

  // The classes with their marks; one that is pressed stands out.
  legend: function (plot) {
    const about = CNN_JAX.data.space, counts = {};
    about.labels.forEach(function (label) { counts[label] = (counts[label] || 0) + 1; });
    const buttons = Object.keys(counts).filter(function (label) { return about.looks.shapes[label]; }).map(function (text) {
      const label = Number(text), look = scatter.lookOf(plot, label);
      const mark = make('svg', { viewBox: '-7 -7 14 14', width: 14, height: 14, 'aria-hidden': 'true' }, make('path', { d: scatter.outline(look.shape, 4.5), fill: look.colour }));
      const button = make('button', { type: 'button', class: 'switch', 'aria-pressed': String(plot.only === label), onclick: function () {
        plot.only = plot.only === label ? null : label;
        CNN_JAX.remember({ class: plot.only });
        buttons.forEach(function (one) { one.setAttribute('aria-pressed', String(one === button && plot.only !== null)); });
        scatter.draw(plot);
      } }, mark, about.groups[label] + ' ', make('span', { class: 'more' }, String(counts[label])));
      return button;
    });
    const rest = Object.keys(counts).length - buttons.length;
    return make('div', { class: 'legend-buttons', hidden: about.groups.length < 2, role: 'group', 'aria-label': 'classes' }, buttons,
      rest ? make('span', { class: 'more' }, rest + ' more classes are small grey points') : null);
  },

  // The images within the lasso, and how many there are of each class.
  circle: function (plot, place, circled) {
    const about = CNN_JAX.data.space, counts = {};
    plot.circled = new Set(circled);
    scatter.draw(plot);
    if (!circled.length) return place.replaceChildren();
    circled.forEach(function (number) { counts[about.labels[number]] = (counts[about.labels[number]] || 0) + 1; });
    const words = about.groups.length < 2 ? [] : Object.keys(counts).sort(function (one, other) { return counts[other] - counts[one]; }).map(function (label) {
      return counts[label] + ' of ' + about.groups[Number(label)];
    });
    const shown = circled.slice(0, 200);
    const clear = make('button', { type: 'button', class: 'switch', onclick: function () { plot.told.circle([]); } }, 'Clear');
    return place.replaceChildren(make('h3', {}, circled.length + ' images in the lasso ', clear), words.length ? make('p', { class: 'note' }, words.slice(0, 12).join(', ') + (words.length > 12 ? ' and ' + (words.length - 12) + ' more classes.' : '.')) : '',
      make('div', { class: 'thumbnails' }, shown.map(function (number) { return CNN_JAX.views.space.picture(plot, number, 44, null); })),
      shown.length < circled.length ? make('p', { class: 'more' }, 'The first 200 are shown.') : '');
  },

  // The chosen image beside its nearest in features and in pixels.
  pick: function (plot, layer, place, chosen) {
    const about = CNN_JAX.data.space;
    plot.chosen = chosen;
    plot.rings = chosen < 0 || !layer.neighbours ? [] : layer.neighbours[chosen].map(function (number) { return [number, '--orange']; });
    scatter.draw(plot);
    if (chosen < 0) return place.replaceChildren();
    const wrong = about.right && !about.right[chosen] && about.answers[chosen], grouped = about.groups.length > 1;
    const words = (grouped ? about.groups[about.labels[chosen]] : about.answers[chosen]) + (wrong && grouped ? ', taken for ' + about.answers[chosen] : '');
    const lists = [['Nearest in ' + layer.name, layer.neighbours], ['Nearest in pixels', about.neighbours]].filter(function (entry) { return entry[1]; }).map(function (entry) {
      const found = entry[1][chosen];
      const same = found.filter(function (number) { return about.labels[number] === about.labels[chosen]; }).length;
      return make('figure', {}, make('h3', {}, entry[0] + (grouped ? ': ' + same + ' of ' + found.length + ' of its class' : '')),
        make('div', { class: 'thumbnails' }, found.map(function (number) { return CNN_JAX.views.space.picture(plot, number, 60, about.labels[chosen]); })));
    });
    return place.replaceChildren(make('div', { class: 'panels' }, make('figure', {}, make('h3', {}, 'Image ' + about.rows[chosen] + (words ? ': ' + words : '')), CNN_JAX.thumbnail(chosen, 112)), lists));
  },

  // A small picture that can be chosen; where `label` is given, one of another class says so.
  picture: function (plot, number, across, label) {
    const about = CNN_JAX.data.space, other = label !== null && about.labels[number] !== label;
    const name = about.groups[about.labels[number]];
    return make('button', { type: 'button', class: other ? 'thumbnail other' : 'thumbnail', title: 'image ' + about.rows[number] + ', ' + name, onclick: function () { plot.told.pick(number); } },
      CNN_JAX.thumbnail(number, across), label === null || about.groups.length < 2 ? null : make('span', { class: 'label' }, (other ? 'not: ' : '') + name));
  },

  turn: function (by) {
    const plot = CNN_JAX.views.space.plot, count = plot.points.length;
    plot.told.pick(Math.min(count - 1, Math.max(0, plot.chosen + by)));
  },
};

// An image of the sheet of all images, so many pixels wide.
CNN_JAX.thumbnail = function (number, across) {
  const about = CNN_JAX.data.space, pictures = about.pictures, from = scatter.source(pictures, number);
  const scale = across / Math.max(pictures.size[0], pictures.size[1]);
  const high = scale * pictures.size[0], wide = scale * pictures.size[1], rows = Math.ceil(about.rows.length / pictures.columns);
  const style = 'width:' + wide + 'px;height:' + high + 'px;background-image:url(' + pictures.source + ');background-size:' + wide * pictures.columns + 'px ' + high * rows +
    'px;background-position:' + -scale * from[0] + 'px ' + -scale * from[1] + 'px';
  return make('span', { class: 'patch', role: 'img', style: style, 'aria-label': 'image ' + about.rows[number] + ', ' + about.groups[about.labels[number]] });
};
