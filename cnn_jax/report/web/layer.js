'use strict';
// All units of a layer as a wall, through one of several lenses.

CNN_JAX.views.layer = {
  needs: function (state) {
    const number = CNN_JAX.layerNumber(state.layer);
    return ['images', 'layer_' + number, 'made_' + number];
  },

  // What can be shown of a layer: [key, words].
  lenses: function (layer) {
    const found = [['map', 'map of the image']];
    if (layer.kernels || layer.incoming) found.push(['weights', layer.kernels ? 'weights' : 'strongest weights']);
    found.push(['mean', 'mean activation']);
    if (layer.step === undefined && layer.top.images.length && !CNN_JAX.looksAway(layer)) found.push(['patches', 'top patch']);
    if (layer.step === undefined && CNN_JAX.made(layer).optimised?.images) found.push(['optimised', 'optimised image']);
    return found;
  },

  // Numbers of units in the order that was chosen; dead ones come last.
  sorted: function (layer, by) {
    const units = Array.from({ length: layer.shown }, function (_, unit) { return unit; });
    const values = { selectivity: layer.selectivity, norm: layer.norm, mean: layer.mean }[by];
    if (!values) return units;
    const dead = new Set(layer.dead);
    return units.sort(function (one, other) {
      return dead.has(one) - dead.has(other) || values[other] - values[one] || one - other;
    });
  },

  show: function (place, state) {
    const number = CNN_JAX.layerNumber(state.layer), at = CNN_JAX.steps.at(state);
    const layer = CNN_JAX.steps.layer(number, at);
    const about = CNN_JAX.data.run.layers[number];
    const lenses = CNN_JAX.views.layer.lenses(layer);
    const lens = lenses.some(function (entry) { return entry[0] === state.lens; }) ? state.lens : layer.kernels ? 'weights' : 'map';
    const sorts = [['index', 'index']].concat(layer.selectivity ? [['selectivity', 'selectivity']] : [], [['mean', 'mean activation']], layer.norm ? [['norm', 'norm of the weights']] : []);
    // The order stays when another layer is looked at, which may not have it.
    const sort = sorts.some(function (entry) { return entry[0] === state.sort; }) ? state.sort : 'index';
    place.append(make('h2', {}, layer.name));
    place.append(make('p', { class: 'note' }, CNN_JAX.views.layer.words(layer, about)));
    if (at !== null) place.append(CNN_JAX.steps.note('Kept of each step: the first ' + layer.maps.shape[1] + ' maps of ' + CNN_JAX.data.training.images.length + ' images, mean activations, selectivity, what is dead' + (layer.kernels ? ', the weights.' : '; of the first layer its weights.')));
    const controls = [choice('Lens', lenses, lens, function (key) { go({ lens: key }); }),
      choice('Sort by', sorts, sort, function (key) { go({ sort: key }); })];
    if (lens === 'map' && layer.image === -1) place.append(CNN_JAX.notKept());
    if (lens === 'map' || lens === 'weights') {
      controls.push(choice('Colours to', [['layer', 'the largest of the layer'], ['unit', 'the largest of the unit'], ['all', 'the largest of all layers']], state.scale || 'layer', function (key) { go({ scale: key }); }));
    }
    place.append(make('div', { class: 'controls' }, controls));
    if (lens === 'map') place.append(CNN_JAX.imageStrip(false));
    CNN_JAX.views.layer.addBar(place, layer, lens, state.scale);
    if (!layer.top.images.length) place.append(CNN_JAX.howToPatches());
    if (lens === 'optimised') place.append(CNN_JAX.views.layer.aboutMade(layer));
    const units = CNN_JAX.views.layer.sorted(layer, sort);
    place.append(make('div', { class: 'wall' }, units.map(function (unit) { return CNN_JAX.views.layer.tile(layer, unit, lens, sort, state.scale); })));
  },

  words: function (layer, about) {
    const dead = layer.all_dead ? layer.all_dead + ' of ' + layer.units + ' units are dead: they have one value at every place of all images. ' : 'None of ' + layer.units + ' units is dead. ';
    const part = layer.shown < layer.units ? 'The first ' + layer.shown + ' are shown. ' : '';
    const shrunk = layer.maps.shrunk > 1 ? 'Maps are means of squares of ' + layer.maps.shrunk + ' places. ' : '';
    return about.kind + ', output ' + about.shape.join(' x ') + '. ' + dead + part + shrunk + (layer.selectivity ? 'Selectivity is the correlation of a unit with the class that it goes with best.' : '');
  },

  // How the images of units were made, and how those of others are.
  aboutMade: function (layer) {
    const made = CNN_JAX.made(layer).optimised;
    const count = made.images.shape[1];
    const words = 'Made by optimisation: ' + made.settings + '.';
    if (count >= layer.shown) return make('p', { class: 'note' }, words);
    return CNN_JAX.howTo(words + ' Of the first ' + count + ' units; for another', '--mode=visualize --workdir=RUN --method=units --layer=' + layer.name + ' --unit=' + count);
  },

  addBar: function (place, layer, lens, scale) {
    const packed = CNN_JAX.views.layer.packed(layer, lens);
    const colour = lens === 'weights' && layer.kernels && layer.kernels.shape[1] === 3;
    if (packed && !colour) place.append(paint.bar(packed.signed, CNN_JAX.views.layer.limit(layer, lens, scale)));
  },

  // The arrays behind a lens; null for one without colours.
  packed: function (layer, lens) {
    return lens === 'map' ? layer.maps : lens === 'weights' ? layer.kernels || layer.incoming.kernels : null;
  },

  // The end of the colours; null: each unit has its own. Of a step of the training the weights of one layer are kept.
  limit: function (layer, lens, scale) {
    const own = CNN_JAX.views.layer.packed(layer, lens).limit;
    if (scale === 'unit') return null;
    if (scale !== 'all' || layer.step !== undefined && lens === 'weights') return own;
    const limits = layer.step === undefined ? CNN_JAX.data.run.layers.map(function (about) { return about.limits[lens] || 0; }) : CNN_JAX.data.training.maps.map(function (maps) { return maps.limit; });
    return Math.max.apply(null, limits.concat(own));
  },

  tile: function (layer, unit, lens, sort, scale) {
    const dead = layer.dead.indexOf(unit) >= 0;
    const mean = lens === 'mean' || sort === 'mean' || !layer.selectivity;
    const more = dead ? 'dead' : sort === 'norm' ? 'norm ' + short(layer.norm[unit]) : mean ? short(layer.mean[unit]) : short(layer.selectivity[unit]) + ' for ' + CNN_JAX.className(layer.selective_for[unit]);
    return make('a', { class: dead ? 'tile dead' : 'tile', href: CNN_JAX.link({ unit: unit }), title: layer.name + ' unit ' + unit + ', ' + more },
      CNN_JAX.unitPicture(layer, unit, lens, scale), make('span', { class: 'label' }, make('b', {}, String(unit)), ' ' + more));
  },
};

// A unit through a lens. scale: 'unit', 'layer' or 'all', the end of the colours.
CNN_JAX.unitPicture = function (layer, unit, lens, scale) {
  const label = layer.name + ' unit ' + unit + ', ' + lens;
  if (lens === 'mean') {
    const most = Math.max.apply(null, layer.mean.map(Math.abs)) || 1;
    const share = layer.mean[unit] / most;
    return make('span', { class: 'meter', role: 'img', 'aria-label': label }, make('span', { class: share < 0 ? 'below' : 'above', style: 'height:' + 100 * Math.abs(share) + '%' }));
  }
  if (lens === 'patches') {
    const image = CNN_JAX.data.images.all[layer.top.images[unit][0]];
    return make('span', { class: 'frame' }, paint.patch(image, layer.top.boxes[unit][0], 84));
  }
  if (lens === 'optimised') {
    const images = CNN_JAX.made(layer).optimised.images;
    if (unit >= images.shape[1]) return make('span', { class: 'frame more' }, 'not made');
    return paint.pixels(images, [0, unit], label);
  }
  const limit = CNN_JAX.views.layer.limit(layer, lens, scale);
  if (lens === 'weights' && layer.kernels && layer.kernels.shape[1] === 3) return paint.colourKernel(layer.kernels, [unit], limit, label);
  const packed = CNN_JAX.views.layer.packed(layer, lens);
  const place = CNN_JAX.mapPlace(layer);
  if (lens === 'map' && (place < 0 || unit >= packed.shape[1])) return make('span', { class: 'frame more' }, 'not kept');
  const picture = paint.picture(packed, lens === 'map' ? [place, unit] : [unit, 0]);
  return paint.canvas(picture, limit === null ? paint.largest(picture) : limit, label);
};

// Which images have maps at each step.
CNN_JAX.notKept = function () {
  const rows = CNN_JAX.data.training.images.map(function (row, place) { return [place ? ', ' : '', make('a', { href: CNN_JAX.link({ image: row }) }, String(row))]; });
  return make('p', { class: 'note', role: 'alert' }, 'The maps of this image are not kept of each step. There are those of image ', rows.flat(), '.');
};

// Whether a layer reads no pixel, as one that stands on a question alone: then what its units see is empty.
CNN_JAX.looksAway = function (layer) {
  return layer.top.images.length > 0 && layer.top.boxes.flat().every(function (box) { return box[2] <= box[0] || box[3] <= box[1]; });
};

// How a picture that is not there is made.
CNN_JAX.howTo = function (words, command) {
  return make('p', { class: 'note' }, words + ': ', make('code', {}, 'python -m cnn_jax.main ' + command));
};

CNN_JAX.howToPatches = function () {
  return CNN_JAX.howTo('For the patches that excite each unit most, what it uses of them, and images made for it', '--mode=report --workdir=RUN');
};
