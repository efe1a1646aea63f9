'use strict';
// The sliding window: of one output of a convolution or a pool what it reads, the products, and the sum.

CNN_JAX.sliding = {
  show: function (place, state, look) {
    const windows = CNN_JAX.data.alive.program.windows;
    if (!windows.length) return;
    const here = CNN_JAX.sliding;
    const found = windows.findIndex(function (window) { return window[0] === state.window; });
    const window = here.read(windows[Math.max(found, 0)]);
    const unit = Math.min(window.made[3] - 1, Math.max(0, Math.floor(Number(state.of) || 0)));
    const view = { window: window, unit: unit, row: null, column: null, input: state.input };
    const numbers = Array.from({ length: window.made[3] }, function (_, number) { return [String(number), String(number)]; });
    const controls = [choice('Layer', windows.map(function (one) { return [one[0], one[0]]; }), window.layer, function (name) { go({ window: name, of: null, input: null }); }),
      choice('Output map', numbers, String(unit), function (number) { go({ of: number }); })];
    if (window.isProduct) {
      const inputs = Array.from({ length: window.shape[3] }, function (_, number) { return [String(number), String(number)]; });
      controls.push(choice('Input map', [['', 'that of the largest share']].concat(inputs), state.input || '', function (number) { go({ input: number || null }); }));
    }
    const output = make('div', { class: 'of-window' });
    const rest = make('div', { class: 'window' });
    const words = make('p', { class: 'sum', 'aria-live': 'polite' });
    place.append(make('h2', { id: 'window' }, 'The sliding window'),
      make('p', { class: 'note' }, 'Point at a place of the output map, or move there with the arrow keys: the window that it reads lies in the input map, and its numbers are beside it.'),
      make('div', { class: 'controls' }, controls), make('figure', { class: 'sliding' }, make('div', { class: 'window-box' }, output, rest), words));
    look.parts.push(function (pass) {
      here.begin(pass, view);
      output.replaceChildren(make('h3', {}, window.layer + ', output map ' + unit), here.outputMap(pass, view, function () { here.fill(pass, view, rest, words); }));
      here.fill(pass, view, rest, words);
    });
  },

  // At first where the output is largest.
  begin: function (pass, view) {
    if (view.row !== null) return;
    const made = view.window.made;
    const values = pass.read(view.window.number);
    let best = 0;
    for (let place = 1; place < made[1] * made[2]; place += 1) if (values[place * made[3] + view.unit] > values[best * made[3] + view.unit]) best = place;
    view.row = Math.floor(best / made[2]);
    view.column = best % made[2];
  },

  // What the program says of a step that slides a window.
  read: function (entry) {
    const packed = CNN_JAX.data.alive.program;
    const [name, inputs, number, settings] = packed.steps[entry[1]];
    const isProduct = name === 'conv_general_dilated';
    const kernel = isProduct ? packed.shapes[inputs[1]] : null;
    return {
      layer: entry[0], isProduct: isProduct, isSum: name === 'reduce_window_sum', number: number, from: inputs[0], kernel: isProduct ? inputs[1] : null, bias: entry[2],
      shape: packed.shapes[inputs[0]], made: packed.shapes[number], channels: kernel?.[3], read: kernel?.[2],
      size: isProduct ? kernel.slice(0, 2) : settings.window_dimensions.slice(1, 3),
      strides: isProduct ? settings.window_strides : settings.window_strides.slice(1, 3),
      padding: isProduct ? settings.padding : settings.padding.slice(1, 3),
      dilation: isProduct ? settings.rhs_dilation : settings.window_dilation.slice(1, 3),
      groups: isProduct ? settings.feature_group_count : 1,
    };
  },

  // The numbers under the window in one input map; null in the padding.
  under: function (pass, view, input) {
    const window = view.window;
    const values = pass.read(window.from);
    const [, height, width, depth] = window.shape;
    return Array.from({ length: window.size[0] * window.size[1] }, function (_, element) {
      const y = view.row * window.strides[0] - window.padding[0][0] + Math.floor(element / window.size[1]) * window.dilation[0];
      const x = view.column * window.strides[1] - window.padding[1][0] + element % window.size[1] * window.dilation[1];
      return y < 0 || x < 0 || y >= height || x >= width ? null : values[(y * width + x) * depth + input];
    });
  },

  // Which input maps the unit reads, what each gives, and which is shown.
  shares: function (pass, view) {
    const window = view.window;
    const kernel = pass.read(window.kernel);
    const first = Math.floor(view.unit / (window.channels / window.groups)) * window.read;
    const found = Array.from({ length: window.read }, function (_, number) {
      const seen = CNN_JAX.sliding.under(pass, view, first + number);
      const weights = seen.map(function (_, element) { return kernel[(element * window.read + number) * window.channels + view.unit]; });
      const products = seen.map(function (value, element) { return (value || 0) * weights[element]; });
      return { input: first + number, seen: seen, weights: weights, products: products, sum: products.reduce(function (sum, value) { return sum + value; }, 0) };
    });
    const asked = found.find(function (share) { return String(share.input) === view.input; });
    const largest = found.reduce(function (best, share) { return Math.abs(share.sum) > Math.abs(best.sum) ? share : best; });
    return { all: found, shown: asked || largest };
  },

  fill: function (pass, view, place, words) {
    const here = CNN_JAX.sliding;
    const window = view.window;
    const value = pass.read(window.number)[(view.row * window.made[2] + view.column) * window.made[3] + view.unit];
    const where = 'Row ' + view.row + ', column ' + view.column + ': ';
    if (!window.isProduct) {
      const seen = here.under(pass, view, view.unit);
      place.replaceChildren(here.inputMap(pass, view, view.unit), here.table('What the window sees', seen, window.size, null));
      words.textContent = where + (window.isSum ? 'the sum of the window is ' : 'the largest of the window is ') + short(value) + '.';
      return;
    }
    const shares = here.shares(pass, view);
    const share = shares.shown;
    place.replaceChildren(here.inputMap(pass, view, share.input), here.table('What the window sees', share.seen, window.size, null), here.table('times the weights', share.weights, window.size, null),
      here.table('gives the products', share.products, window.size, null));
    const parts = [where, 'the products of input map ' + share.input + ' sum to ' + short(share.sum)];
    if (shares.all.length > 1) parts.push(', those of all ' + shares.all.length + ' maps to ' + short(value));
    if (window.bias !== null) {
      const bias = pass.read(window.bias)[view.unit];
      parts.push('; with the bias ' + short(bias) + ' that is ' + short(value + bias));
    }
    const last = 'layer:' + window.layer in CNN_JAX.data.alive.program.outputs ? pass.output('layer:' + window.layer) : null;
    if (last && last.length === window.made[1] * window.made[2] * window.made[3]) {
      parts.push(', and the layer gives ' + short(last[(view.row * window.made[2] + view.column) * window.made[3] + view.unit]));
    }
    words.textContent = parts.join('') + '.';
  },

  outputMap: function (pass, view, moved) {
    const window = view.window;
    const [, height, width, channels] = window.made;
    const label = window.layer + ', output map ' + view.unit + ': arrow keys move the window';
    const canvas = CNN_JAX.sliding.canvas(pass.read(window.number), [height, width, channels], view.unit, label);
    canvas.setAttribute('tabindex', '0');
    canvas.setAttribute('role', 'application');
    const box = make('span', { class: 'box' });
    function mark() {
      box.style.cssText = 'top:' + 100 * view.row / height + '%;left:' + 100 * view.column / width + '%;height:' + 100 / height + '%;width:' + 100 / width + '%';
    }
    CNN_JAX.places(canvas, height, width, view, function () { mark(); moved(); });
    mark();
    return make('div', { class: 'whole map' }, canvas, box);
  },

  // An input map with the window in it.
  inputMap: function (pass, view, input) {
    const window = view.window;
    const [, height, width, depth] = window.shape;
    const canvas = CNN_JAX.sliding.canvas(pass.read(window.from), [height, width, depth], input, 'input map ' + input + ' of ' + window.layer);
    const ends = [0, 1].map(function (axis) {
      const start = [view.row, view.column][axis] * window.strides[axis] - window.padding[axis][0];
      const size = [height, width][axis];
      return [Math.max(0, start) / size, Math.min(size, start + (window.size[axis] - 1) * window.dilation[axis] + 1) / size];
    });
    const style = 'top:' + 100 * ends[0][0] + '%;left:' + 100 * ends[1][0] + '%;height:' + 100 * (ends[0][1] - ends[0][0]) + '%;width:' + 100 * (ends[1][1] - ends[1][0]) + '%';
    return make('div', {}, make('h3', {}, 'Input map ' + input), make('div', { class: 'whole map' }, canvas, make('span', { class: 'box', style: style })));
  },

  canvas: function (values, shape, channel, label) {
    const [height, width, channels] = shape;
    const own = Array.from({ length: height * width }, function (_, place) { return values[place * channels + channel]; });
    const most = Math.max.apply(null, own.map(Math.abs));
    const canvas = make('canvas', { width: width, height: height, role: 'img', 'aria-label': label });
    return paint.fill(canvas, function (place) { return own[place]; }, most, own.some(function (value) { return value < 0; }));
  },

  // Numbers in rows, coloured to the largest of them.
  table: function (title, values, size) {
    const most = Math.max.apply(null, values.map(function (value) { return Math.abs(value || 0); })) || 1;
    const signed = values.some(function (value) { return value < 0; });
    const colours = paint.table(signed);
    const cells = values.map(function (value) {
      if (value === null) return make('span', { class: 'outside', title: 'padding' }, '0');
      const colour = colours[Math.min(255, Math.round(signed ? 127.5 + 127.5 * value / most : 255 * value / most))];
      const text = paint.luminance(colour) > 0.179 ? '#000' : '#fff'; // then the contrast is at least 4.5
      return make('span', { style: 'background:rgb(' + colour.join(',') + ');color:' + text }, CNN_JAX.sliding.digits(value));
    });
    return make('div', {}, make('h3', {}, title), make('div', { class: 'numbers', style: 'grid-template-columns:repeat(' + size[1] + ',1fr)' }, cells));
  },

  // A number in few letters.
  digits: function (value) {
    const text = Math.abs(value) >= 99.5 ? value.toFixed(0) : Math.abs(value) >= 9.95 ? value.toFixed(1) : value.toFixed(2);
    return text.replace('-', '\u2212');
  },
};
