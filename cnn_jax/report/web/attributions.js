'use strict';
// Maps of what counted for a class, all under one bar of colours, and what covering a place of the image does.

CNN_JAX.attributions = {
  names: { gradient: 'Gradient', guided_backprop: 'Guided backprop', grad_cam: 'Grad-CAM', occlusion: 'Occlusion' },
  units: { gradient: 'score per unit of input', guided_backprop: 'score per unit of input', grad_cam: 'score per place', occlusion: 'score' },

  show: function (place, state, image) {
    const here = CNN_JAX.attributions;
    const maps = CNN_JAX.data.maps;
    const number = maps.rows ? maps.rows.indexOf(image.row) : -1;
    place.append(make('h2', {}, 'What counted'));
    if (maps.left_out) return place.append(make('p', { class: 'note' }, 'Left out: ' + maps.left_out + '.'));
    if (number < 0) {
      const others = maps.rows ? ' There are maps of images ' + maps.rows.join(', ') + '.' : '';
      place.append(CNN_JAX.howTo('For the maps of this image', maps.rows ? '--mode=visualize --workdir=RUN --method=grad_cam --image=' + image.row : '--mode=report --workdir=RUN'));
      if (others) place.append(make('p', { class: 'note' }, others));
      return undefined;
    }
    const targets = maps.targets[number];
    const asked = targets.indexOf(Number(state.class));
    const view = { number: number, target: state.class !== undefined && asked >= 0 ? asked : 0, twins: state.twins === '1', image: image, row: null, column: null, marks: [], told: [] };
    const classes = targets.map(function (target, at) { return [String(target), maps.words[number][at]]; });
    const twins = make('label', { class: 'choice' }, make('input', { type: 'checkbox', checked: view.twins, onchange: function () { go({ twins: view.twins ? null : 1 }); } }),
      make('span', {}, 'with each its twin: the map of a net whose weights are shuffled'));
    place.append(make('div', { class: image.top.length ? 'controls' : 'controls roomy' }, choice(image.top.length ? 'Class' : 'Explained', classes, String(targets[view.target]), function (target) { go({ class: target }); }), twins));
    place.append(make('div', { class: 'bar wide' }, make('span', {}, '\u2212 the largest'), here.shades(), make('span', {}, 'the largest of each map, which stands below it')));
    const row = make('div', { class: 'maps-row' }, here.ofImage(view));
    Object.keys(maps.methods).forEach(function (method) { row.append(here.ofMethod(view, method)); });
    const told = make('div', { class: 'covered', 'aria-live': 'polite' }, make('p', { class: 'note' }, 'Point at a place of a map, or move there with the arrow keys: its values, and what the net says when the window there is covered.'));
    view.told.push(function () { here.cover(view, told); });
    const abouts = Object.keys(maps.methods).map(function (method) { return titled(here.names[method], method); });
    place.append(row, make('div', { class: 'abouts' }, abouts, titled('Twins', 'twins')), told);
    return undefined;
  },

  shades: function () {
    const table = paint.table(true);
    const stops = [0, 32, 64, 96, 128, 160, 192, 224, 255].map(function (shade) { return 'rgb(' + table[shade].join(',') + ')'; });
    return make('span', { class: 'shades', style: 'background: linear-gradient(to right,' + stops.join(',') + ')' });
  },

  // The image, on which the covered window is drawn.
  ofImage: function (view) {
    const whole = paint.whole(view.image, [0, 0, 0, 0]);
    const box = whole.querySelector('.box');
    box.hidden = true;
    view.told.push(function () {
      const window = CNN_JAX.attributions.windowAt(view);
      const size = view.image.size;
      box.hidden = false;
      box.style.cssText = 'top:' + 100 * window.top / size[0] + '%;left:' + 100 * window.left / size[1] + '%;height:' + 100 * (window.bottom - window.top) / size[0] + '%;width:' + 100 * (window.right - window.left) / size[1] + '%';
    });
    return make('div', { class: 'of-method' }, make('h3', {}, 'Image ' + view.image.row), whole);
  },

  ofMethod: function (view, method) {
    const here = CNN_JAX.attributions;
    const found = CNN_JAX.data.maps.methods[method];
    const title = make('h3', {}, here.names[method]);
    if (found.left_out) return make('div', { class: 'of-method' }, title, make('p', { class: 'label' }, 'Left out: ' + found.left_out + '.'));
    const parts = [here.map(view, found.maps[view.number][view.target], here.names[method], here.units[method])];
    if (view.twins) {
      const same = found.correlation[view.number][view.target];
      parts.push(here.map(view, found.twins[view.number][view.target], here.names[method] + ', twin', here.units[method], 'Twin: '),
        make('p', { class: 'label' }, same === null ? 'No rank correlation: one of them is flat.' : 'Rank correlation of both ' + short(same) + '.'));
    }
    return make('div', { class: 'of-method' }, title, parts);
  },

  // One map; its signs and its largest are its own.
  map: function (view, packed, name, unit, before) {
    const which = before || '';
    const picture = paint.picture(packed, []);
    const canvas = make('canvas', { width: picture.width, height: picture.height, tabindex: 0, role: 'application', 'aria-label': name + ' for ' + CNN_JAX.data.maps.words[view.number][view.target] + ': arrow keys move the place' });
    paint.fill(canvas, function (place) { return paint.value(packed, picture.bytes[place]); }, packed.limit, true);
    const mark = make('span', { class: 'box', hidden: true });
    const words = make('p', { class: 'label' }, which + (packed.limit ? 'largest ' + brief(packed.limit) + ' ' + unit : 'zero everywhere'));
    view.told.push(function () {
      mark.hidden = false;
      mark.style.cssText = 'top:' + 100 * view.row / picture.height + '%;left:' + 100 * view.column / picture.width + '%;height:' + 100 / picture.height + '%;width:' + 100 / picture.width + '%';
      words.textContent = which + 'here ' + brief(paint.value(packed, picture.bytes[view.row * picture.width + view.column])) + ', largest ' + brief(packed.limit) + ' ' + unit;
    });
    CNN_JAX.places(canvas, picture.height, picture.width, view, function () { view.told.forEach(function (then) { then(); }); });
    return make('div', {}, make('div', { class: 'whole map' }, canvas, mark), words);
  },

  // The window whose middle is nearest to the place.
  windowAt: function (view) {
    const windows = CNN_JAX.data.maps.windows;
    const packed = CNN_JAX.data.maps.methods.occlusion.maps[view.number][view.target];
    const ends = [0, 1].map(function (axis) {
      const at = [view.row, view.column][axis] * view.image.size[axis] / packed.shape[axis];
      const turn = Math.min(windows.counts[axis] - 1, Math.max(0, Math.round((at + 0.5 - windows.size[axis] / 2) / windows.stride[axis])));
      return [turn, turn * windows.stride[axis], Math.min(view.image.size[axis], turn * windows.stride[axis] + windows.size[axis])];
    });
    return { number: ends[0][0] * windows.counts[1] + ends[1][0], top: ends[0][1], bottom: ends[0][2], left: ends[1][1], right: ends[1][2] };
  },

  cover: function (view, place) {
    const window = CNN_JAX.attributions.windowAt(view);
    const maps = CNN_JAX.data.maps, values = maps.values[view.number][view.target], listed = maps.covered[view.number];
    const words = 'With rows ' + window.top + ' to ' + (window.bottom - 1) + ' and columns ' + window.left + ' to ' + (window.right - 1) + ' covered, the score of ' +
      maps.words[view.number][view.target].replace(/^the scores? of /, '') + ' is ' + short(values[1 + window.number]) + ' in place of ' + short(values[0]) + (listed.length ? '. The net says' : '.');
    place.replaceChildren(make('p', {}, words), listed.length ? charts.scores({ classes: view.image.classes, top: listed[window.number] }) : '');
  },
};

// A canvas whose places can be pointed at, and moved to with the arrow keys; `view` hears of the row and the column.
CNN_JAX.places = function (canvas, height, width, view, moved) {
  function move(row, column) {
    view.row = Math.min(height - 1, Math.max(0, row));
    view.column = Math.min(width - 1, Math.max(0, column));
    moved();
  }
  function point(event) {
    const place = canvas.getBoundingClientRect();
    move(Math.floor((event.clientY - place.top) / place.height * height), Math.floor((event.clientX - place.left) / place.width * width));
  }
  canvas.addEventListener('pointermove', point);
  canvas.addEventListener('pointerdown', point);
  canvas.addEventListener('keydown', function (event) {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    if (view.row === null) move(Math.floor(height / 2), Math.floor(width / 2));
    else move(view.row + step[0], view.column + step[1]);
  });
};
