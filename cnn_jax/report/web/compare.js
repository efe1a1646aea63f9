'use strict';
// Two runs side by side: options, curves, classes, one image and one unit in both. Their data is that of their pages.

const compare = {
  runs: JSON.parse(document.getElementById('runs').textContent),
  stores: {},

  // Reads scripts of a run's page; `then` hears of what is there. A script says its own name and not its run: that stands
  // at its element, for another view may be asked for, and read, before this one is there.
  load: function (run, names, then) {
    if (!compare.stores[run.base]) compare.stores[run.base] = {};
    const store = compare.stores[run.base];
    const name = names.find(function (one) { return !(one in store); });
    if (!run.base || name === undefined) return then(run.base ? store : null);
    const script = document.createElement('script');
    CNN_JAX.put = function (own, values) { compare.stores[document.currentScript.dataset.base][own] = values; };
    script.dataset.base = run.base;
    script.src = run.base + 'data/' + name + '.js';
    script.onload = function () { compare.load(run, names, then); };
    script.onerror = function () { store[name] = null; compare.load(run, names, then); };
    document.head.appendChild(script);
    return undefined;
  },

  // The two runs of the address, else the two newest.
  chosen: function () {
    const state = CNN_JAX.state();
    return ['one', 'other'].map(function (side, place) {
      return compare.runs.find(function (run) { return run.name === state[side]; }) || compare.runs[place];
    });
  },

  draw: function () {
    const both = compare.chosen(), place = document.getElementById('microscope'), fresh = make('div', {});
    fresh.append(compare.heads(both), compare.options(both), compare.curves(both));
    compare.load(both[0], ['run', 'space', 'matching', 'images'], function (one) {
      compare.load(both[1], ['run', 'space', 'matching', 'images'], function (other) {
        const now = compare.chosen();
        if (now[0] !== both[0] || now[1] !== both[1]) return;
        const why = compare.apart(both, one, other);
        if (!why) return compare.images(fresh, both, [one, other], function () { place.replaceChildren(fresh); });
        fresh.append(make('h2', {}, 'On the same images'), make('p', { class: 'note' }, why));
        place.replaceChildren(fresh);
      });
    });
  },

  // Why two runs cannot be compared image by image; '' where they can.
  apart: function (both, one, other) {
    const without = both.filter(function (run, place) { const store = [one, other][place]; return !store?.run || !store.matching || !store.space; });
    if (without.length) return 'No data of ' + without.map(function (run) { return run.name; }).join(' and ') + ' is there: write its page with --mode=report --workdir=RUN.';
    if (JSON.stringify(one.run.images_of) !== JSON.stringify(other.run.images_of)) {
      return 'They were looked at on different images: ' + [one, other].map(function (store) { return store.run.images_of.slice(0, 2).join(' '); }).join(' and ') + '.';
    }
    if (JSON.stringify(one.run.classes) !== JSON.stringify(other.run.classes)) return 'They have different classes.';
    return '';
  },

  heads: function (both) {
    const names = compare.runs.map(function (run) { return [run.name, run.name]; });
    return make('div', { class: 'sides heads' }, both.map(function (run, place) {
      const side = ['one', 'other'][place];
      const pick = choice('', names, run.name, function (name) { const changes = {}; changes[side] = name; go(changes); });
      pick.querySelector('select').setAttribute('aria-label', place ? 'the other run' : 'the one run');
      const link = run.base ? make('a', { href: run.base + 'index.html' }, 'its page') : make('span', { class: 'more' }, 'no microscope yet');
      return make('div', { class: 'side of-' + side }, make('i', { 'aria-hidden': 'true' }), pick, make('p', {}, run.experiment + ', ' + (run.result || 'not evaluated') + ', ', link));
    }));
  },

  options: function (both) {
    const names = Object.keys(Object.assign({ experiment: 0 }, both[0].options, both[1].options));
    const values = both.map(function (run) { return Object.assign({ experiment: run.experiment }, run.options); });
    const rows = names.filter(function (name) { return values[0][name] !== values[1][name]; });
    const body = rows.map(function (name) {
      return make('tr', {}, make('th', { scope: 'row' }, name), values.map(function (own) { return make('td', {}, own[name] === undefined ? '-' : own[name]); }));
    });
    const heads = ['Option'].concat(both.map(function (run) { return run.name; })).map(function (name) { return make('th', { scope: 'col' }, name); });
    return make('section', {}, make('h2', {}, 'Options that differ'),
      rows.length ? make('div', { class: 'scroll' }, make('table', {}, make('thead', {}, make('tr', {}, heads)), make('tbody', {}, body))) : make('p', { class: 'note' }, 'None: experiment, options, seed and fold are equal.'));
  },

  // Both runs in one picture for each metric that both have; the other one's lines are broken.
  curves: function (both) {
    const drawn = both[0].curves.map(function (curve) {
      const other = both[1].curves.find(function (one) { return one.name === curve.name; });
      return other ? compare.curve(curve, [curve, other]) : null;
    }).filter(Boolean);
    return make('section', {}, make('h2', {}, 'Curves'), drawn.length ? make('div', { class: 'figures' }, drawn) : make('p', { class: 'note' }, 'They share no metric.'));
  },

  curve: function (curve, both) {
    const held = ['validation', 'test'].find(function (split) { return both.every(function (one) { return one.splits[split][0].length > 1; }); });
    const splits = held ? ['train', held] : ['train'];
    const merged = { title: curve.title, percent: curve.percent, splits: {} };
    both.forEach(function (one, place) { splits.forEach(function (split) { merged.splits[['one', 'other'][place] + ' ' + split] = one.splits[split]; }); });
    const figure = charts.curve(merged, [], null);
    figure.classList.add('two-curves');
    figure.querySelector('.key').replaceWith(make('p', { class: 'more' }, 'Faint: training batches' + (held ? '; strong: ' + held + ' images' : '') + '.'));
    return figure;
  },

  // What needs images: the classes, one image, one unit.
  images: function (place, both, stores, then) {
    CNN_JAX.data = stores[0];
    const names = stores.map(function (store) { return store.run.layers.map(function (layer) { return layer.name; }); });
    const shared = names[0].filter(function (name) { return names[1].indexOf(name) >= 0 && stores.every(function (store) { return store.matching.means[name]; }); });
    const state = CNN_JAX.state();
    const maps = shared.filter(function (name) { const shape = stores[0].run.layers[names[0].indexOf(name)].shape; return shape.length === 3 && shape[0] * shape[1] > 1; });
    const layer = shared.indexOf(state.layer) >= 0 ? state.layer : maps.concat(maps.length ? [] : shared).pop();
    const numbers = names.map(function (own) { return own.indexOf(layer); });
    place.append(compare.classes(both, stores));
    if (!layer) {
      place.append(make('h2', {}, 'The same units'), make('p', { class: 'note' }, 'No layer of one has the name of a layer of the other.'));
      return then();
    }
    compare.load(both[0], ['layer_' + numbers[0]], function () {
      compare.load(both[1], ['layer_' + numbers[1]], function () {
        place.append(compare.units(both, stores, shared, layer, numbers));
        then();
      });
    });
    return undefined;
  },

  classes: function (both, stores) {
    const spaces = stores.map(function (store) { return store.space; });
    if (!spaces[0].right || !spaces[1].right) return make('p', { class: 'note' }, 'An answer of this task is not right or wrong but more or less right; for the difference on the whole split with its interval: --mode=compare RUN RUN.');
    const found = pairs.classes(spaces[0], spaces[1], pairs.common(spaces[0].rows, spaces[1].rows));
    const rest = found.slice(1).sort(function (a, b) { return found.length > 41 ? Math.abs(b.value) - Math.abs(a.value) : 0; }).slice(0, 40);
    const end = Math.max.apply(null, found.slice(0, 1).concat(rest).map(function (one) { return Math.max(Math.abs(one.low), Math.abs(one.high)); }));
    const rows = found.slice(0, 1).concat(rest).map(function (one) {
      const name = one.label === null ? 'all images' : spaces[0].groups[one.label];
      return make('tr', { class: one.label === null ? 'all' : null }, make('th', { scope: 'row' }, name), [one.images, one.one, one.other].map(function (count) { return make('td', { class: 'number' }, String(count)); }),
        make('td', { class: 'number' }, compare.points(one.value)), make('td', { class: 'number' }, compare.points(one.low) + ' to ' + compare.points(one.high)), make('td', { class: 'interval' }, compare.interval(one, end, name)));
    });
    const heads = ['Class', 'Images', both[0].name, both[1].name, 'Difference', '95 % interval', ''].map(function (name, place) { return make('th', { scope: 'col', class: place > 0 && place < 6 ? 'number' : null }, name); });
    const more = found.length - 1 > rest.length ? ' The ' + rest.length + ' of ' + (found.length - 1) + ' classes that differ most are listed.' : '';
    return make('section', {}, make('h2', {}, 'Classes'), make('p', { class: 'note' }, 'Right answers on the same ' + found[0].images + ' ' + stores[0].run.split + ' images; the difference is that of ' + both[1].name + ' to ' + both[0].name +
      ', in points, with its interval (Agresti and Min 2005). Of 20 classes one lies outside of its interval by chance.' + more),
    make('div', { class: 'scroll' }, make('table', { class: 'per-class' }, make('thead', {}, make('tr', {}, heads)), make('tbody', {}, rows))));
  },

  points: function (share) { return (share > 0 ? '+' : share < 0 ? '\u2212' : '') + Math.abs(100 * share).toFixed(1); },

  interval: function (one, end, name) {
    function across(value) { return 80 + 74 * value / (end || 1); }
    const words = name + ': ' + compare.points(one.value) + ' points, ' + compare.points(one.low) + ' to ' + compare.points(one.high);
    return make('svg', { viewBox: '0 0 160 16', role: 'img', 'aria-label': words, class: one.low > 0 || one.high < 0 ? 'sure' : null },
      make('line', { x1: 80, x2: 80, y1: 0, y2: 16, class: 'zero' }), make('line', { x1: across(one.low), x2: across(one.high), y1: 8, y2: 8, class: 'reach' }), make('rect', { x: across(one.value) - 3, y: 5, width: 6, height: 6 }));
  },

  // One image in both, and the units of a layer in pairs that go together.
  units: function (both, stores, shared, layer, numbers) {
    const layers = stores.map(function (store, place) { return store['layer_' + numbers[place]]; });
    const rows = stores.map(function (store) { return store.images.chosen.map(function (number) { return store.images.all[number].row; }); });
    const images = pairs.common(rows[0], rows[1]);
    const matched = pairs.match(stores[0].matching.means[layer], stores[1].matching.means[layer], pairs.common(stores[0].matching.rows, stores[1].matching.rows));
    const mean = matched.reduce(function (sum, pair) { return sum + pair.correlation; }, 0) / matched.length;
    const section = make('section', {}, make('h2', {}, 'The same image and the same units'));
    const controls = make('div', { class: 'controls' }, choice('Layer', shared.map(function (name) { return [name, name]; }), layer, function (name) { go({ layer: name, unit: null }); }));
    section.append(make('p', { class: 'note' }, 'Two nets number their units as they like. Units are put together by the correlation of their mean activations on the same images, from the highest downwards, each once. In ' + layer + ' the mean correlation of ' + matched.length + ' pairs is ' + short(mean) + '.'), controls);
    if (!images.length) section.append(make('p', { class: 'note' }, 'No image has its maps kept in both runs.'));
    const wanted = images.findIndex(function (pair) { return rows[0][pair[0]] === Number(CNN_JAX.state().image); });
    const image = images[Math.max(0, wanted)] || null;
    if (image) section.append(compare.strip(stores, images, rows, image), compare.answers(both, stores, image));
    const unit = matched.find(function (pair) { return pair.one === Number(CNN_JAX.state().unit); });
    if (unit && CNN_JAX.state().unit !== undefined) section.append(compare.pair(both, layers, layer, unit, image));
    section.append(make('div', { class: 'wall couples' }, matched.slice().sort(function (a, b) { return b.correlation - a.correlation; }).map(function (pair) { return compare.couple(layers, layer, pair, image); })));
    return section;
  },

  strip: function (stores, images, rows, image) {
    return make('div', { class: 'strip' }, images.map(function (pair) {
      const one = stores[0].images.all[stores[0].images.chosen[pair[0]]];
      return make('a', { href: CNN_JAX.link({ image: one.row }), 'aria-current': pair === image ? 'true' : null, title: 'image ' + one.row + (one.truth ? ', ' + one.truth : '') }, make('img', { src: one.source, alt: 'image ' + one.row }));
    }));
  },

  answers: function (both, stores, image) {
    return make('div', { class: 'sides' }, both.map(function (run, place) {
      const own = stores[place].images.all[stores[place].images.chosen[image[place]]];
      return make('figure', {}, make('h3', {}, run.name + ' says of image ' + own.row), own.top.length ? charts.scores(Object.assign({}, own, { top: own.top.slice(0, 3) })) : make('p', {}, own.answer || 'nothing in words'));
    }));
  },

  // Each map has its own scale, for two nets have none in common; of one place it would say nothing: the layer's.
  map: function (layer, image, unit, label) {
    const picture = paint.picture(layer.maps, [image, unit]);
    const limit = picture.width * picture.height > 1 ? paint.largest(picture) : layer.maps.limit;
    return paint.canvas(picture, limit || 1, label);
  },

  // A pair of units as a tile with the maps of the image in both.
  couple: function (layers, name, pair, image) {
    const words = name + ' unit ' + pair.one + ' and unit ' + pair.other + ', correlation ' + short(pair.correlation);
    const maps = image ? make('span', { class: 'couple' }, compare.map(layers[0], image[0], pair.one, words), compare.map(layers[1], image[1], pair.other, words)) : null;
    return make('a', { class: 'tile', href: CNN_JAX.link({ unit: pair.one }), title: words }, maps, make('span', { class: 'label' }, make('b', {}, pair.one + ' \u2194 ' + pair.other), ' ' + short(pair.correlation)));
  },

  // A pair large, with what is known of each of the two.
  pair: function (both, layers, name, pair, image) {
    const sides = [pair.one, pair.other].map(function (unit, place) {
      const layer = layers[place], dead = layer.dead.indexOf(unit) >= 0;
      const best = layer.selectivity ? 'Goes best with ' + CNN_JAX.className(layer.selective_for[unit]) + ' (correlation ' + short(layer.selectivity[unit]) + '), mean' : 'Mean';
      const words = dead ? 'Dead.' : best + ' activation ' + short(layer.mean[unit]) + '.';
      const link = both[place].base + 'index.html#layer=' + encodeURIComponent(name) + '&unit=' + unit;
      return make('figure', {}, make('h3', {}, make('a', { href: link }, both[place].name + ', ' + name + ' unit ' + unit)),
        image ? make('div', { class: 'large' }, compare.map(layer, image[place], unit, name + ' unit ' + unit)) : null, make('p', { class: 'note' }, words), charts.histogram(layer.histograms[unit]));
    });
    return make('div', { class: 'sides chosen-pair' }, sides);
  },
};

window.addEventListener('hashchange', compare.draw);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', compare.draw);
compare.draw();
