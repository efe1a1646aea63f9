'use strict';
// One unit: the patches that excite it most, how it tells classes apart, what comes into it.

CNN_JAX.views.unit = {
  needs: function (state) {
    const number = CNN_JAX.layerNumber(state.layer);
    return ['images', 'layer_' + number, 'made_' + number];
  },

  show: function (place, state) {
    const number = CNN_JAX.layerNumber(state.layer);
    const at = CNN_JAX.steps.at(state), layer = CNN_JAX.steps.layer(number, at);
    const unit = Number(state.unit);
    if (!(Number.isInteger(unit) && unit >= 0 && unit < layer.shown)) {
      place.append(make('p', { class: 'note' }, layer.name + ' has units 0 to ' + (layer.shown - 1) + ' here.'));
      return;
    }
    const around = [unit > 0 ? make('a', { href: CNN_JAX.link({ unit: unit - 1 }) }, '\u2190 ' + (unit - 1)) : null,
      unit + 1 < layer.shown ? make('a', { href: CNN_JAX.link({ unit: unit + 1 }) }, unit + 1 + ' \u2192') : null];
    place.append(make('h2', {}, make('a', { href: CNN_JAX.link({ unit: null }) }, layer.name), ' unit ' + unit), make('p', { class: 'around' }, around));
    place.append(make('p', { class: 'note' }, CNN_JAX.views.unit.words(layer, unit)));
    if (at !== null) {
      place.append(CNN_JAX.steps.note('Its patches, the images made for it and its spread in each class are of the net of the page alone.'));
      if (layer.image === -1) place.append(CNN_JAX.notKept());
      place.append(make('div', { class: 'panels' }, CNN_JAX.views.unit.map(layer, unit), CNN_JAX.views.unit.weights(layer, unit, number), CNN_JAX.views.unit.over(number, unit)));
      return;
    }
    place.append(make('div', { class: 'panels' }, CNN_JAX.views.unit.patches(layer, unit),
      CNN_JAX.views.unit.guided(layer, unit), CNN_JAX.views.unit.optimised(layer, unit),
      make('figure', {}, layer.selectivity ? titled('Activation in each class', 'selectivity') : titled('Activation', null), charts.histogram(layer.histograms[unit])),
      CNN_JAX.views.unit.weights(layer, unit, number), CNN_JAX.views.unit.map(layer, unit)));
  },

  words: function (layer, unit) {
    const now = layer.step !== undefined;
    if (layer.dead.indexOf(unit) >= 0) return 'Dead: its value is ' + (now ? 'the same' : short(layer.low[unit])) + ' at every place of all images.';
    const best = layer.selectivity ? 'Goes best with ' + CNN_JAX.className(layer.selective_for[unit]) + ' (correlation ' + short(layer.selectivity[unit]) + '). ' : '';
    return best + 'Mean activation ' +
      short(layer.mean[unit]) + (now ? '.' : ', from ' + short(layer.low[unit]) + ' to ' + short(layer.high[unit]) + '.');
  },

  // How its correlation with its class came to be, and its mean activation.
  over: function (number, unit) {
    const data = CNN_JAX.data.training, births = data.births[number], view = { data: data, updates: [] };
    if (!births) return null;
    const values = data.steps.map(function (_, at) { return Math.max(0, paint.value(births.correlations, paint.bytes(births.correlations)[unit * data.steps.length + at])); });
    const lines = CNN_JAX.views.training.lines(view, 'Correlation', [['correlation', values]], 1, function (value) { return String(value); });
    view.updates.forEach(function (update) { update(CNN_JAX.steps.at(CNN_JAX.state())); });
    const born = births.born[unit] === null ? ' It goes with no class.' : ' Born at step ' + data.steps[births.born[unit]] + ': half of the last correlation from then on.';
    return make('figure', {}, make('h3', {}, 'Correlation with ' + CNN_JAX.className(births.classes[unit])), lines, make('figcaption', {}, 'Over the steps that were kept.' + born));
  },

  // How many of the top patches excite the unit more than the rest of all images does: one at least, of a live unit.
  exciting: function (layer, unit) {
    return Math.max(1, layer.top.values[unit].filter(function (value) { return value > layer.low[unit]; }).length);
  },

  // The top patches; the one that is pointed at or has the focus is shown in its whole image.
  patches: function (layer, unit) {
    const title = titled('Patches that excite it most', 'patches');
    const figure = make('figure', { class: 'tops' }, title);
    if (!layer.top.images.length) return make('figure', {}, title, CNN_JAX.howToPatches());
    if (layer.dead.indexOf(unit) >= 0) return make('figure', {}, title, make('p', { class: 'note' }, 'None: no patch excites it more than another.'));
    if (CNN_JAX.looksAway(layer)) return make('figure', {}, title, make('p', { class: 'note' }, 'None: this layer does not look at the image.'));
    const around = make('div', { class: 'around-patch', 'aria-live': 'polite' });
    function look(place) {
      const image = CNN_JAX.data.images.all[layer.top.images[unit][place]];
      around.replaceChildren(paint.whole(image, layer.top.boxes[unit][place]), make('p', {}, 'image ' + image.row + (image.truth ? ', ' + image.truth : ''),
        make('br'), 'activation ' + short(layer.top.values[unit][place])));
    }
    const found = layer.top.images[unit], count = CNN_JAX.views.unit.exciting(layer, unit);
    const list = make('div', { class: 'patches' }, found.slice(0, count).map(function (number, place) {
      const image = CNN_JAX.data.images.all[number];
      const label = CNN_JAX.words(image) + ', activation ' + short(layer.top.values[unit][place]);
      return make('button', { type: 'button', title: label, onmouseenter: function () { look(place); }, onfocus: function () { look(place); }, onclick: function () { look(place); } },
        make('span', { class: 'frame' }, paint.patch(image, layer.top.boxes[unit][place], 84)), make('span', { class: 'label' }, short(layer.top.values[unit][place])));
    }));
    look(0);
    figure.append(make('div', { class: 'looking' }, list, around));
    if (count < found.length) figure.append(make('p', { class: 'note' }, 'No other image excites it.'));
    return figure;
  },

  // The first of those patches beside what the unit uses of them.
  guided: function (layer, unit) {
    if (!layer.top.images.length || layer.dead.indexOf(unit) >= 0) return null;
    const figure = make('figure', {}, titled('What it uses of them', 'guided'));
    const made = CNN_JAX.made(layer);
    if (!made.guided) {
      figure.append(make('p', { class: 'note' }, 'Guided backpropagation is left out: ' + made.guided_left_out + '.'));
      return figure;
    }
    const packed = made.guided[unit];
    const pairs = Array.from({ length: Math.min(packed.shape[0], CNN_JAX.views.unit.exciting(layer, unit)) }, function (_, place) {
      const image = CNN_JAX.data.images.all[layer.top.images[unit][place]];
      const box = layer.top.boxes[unit][place];
      const picture = paint.corner(paint.picture(packed, [place]), box[2] - box[0], box[3] - box[1]);
      const canvas = paint.canvas(picture, packed.limit, 'guided backpropagation, patch of image ' + image.row);
      return make('div', { class: 'two' }, make('span', { class: 'frame' }, paint.patch(image, box, 84)), make('span', { class: 'frame' }, canvas));
    });
    figure.append(make('div', { class: 'twos' }, pairs), packed.limit ? paint.bar(packed.signed, packed.limit) : make('p', { class: 'note' }, 'No pixel changes this unit.'));
    return figure;
  },

  // Images that were made for the unit, with how strongly it answers.
  optimised: function (layer, unit) {
    const made = CNN_JAX.made(layer).optimised;
    const figure = make('figure', {}, titled('Images made for it', 'optimised'));
    const names = { optimised: 'excites it', negative: 'switches it off' };
    if (made?.left_out) figure.append(make('p', { class: 'note' }, 'Left out: ' + made.left_out + '.'));
    else if (!made || unit >= made.images.shape[1]) {
      figure.append(CNN_JAX.howTo('To make them', '--mode=visualize --workdir=RUN --method=units --layer=' + layer.name + ' --unit=' + unit + ' --set.negative=True --set.diverse=2'));
    } else {
      figure.append(make('div', { class: 'made' }, made.kinds.map(function (kind, number) {
        const words = names[kind] || 'another that does';
        return make('div', {}, paint.pixels(made.images, [number, unit], 'an image that ' + words), make('p', { class: 'label' }, make('b', {}, words), make('br'), 'activation ' + short(made.activations[number][unit])));
      })));
      const best = layer.top.images.length ? ' The best test image gives ' + short(layer.top.values[unit][0]) + '.' : '';
      const notes = made.notes.map(function (kind) { return kind[unit]; }).filter(function (note, place, all) { return note && all.indexOf(note) === place; });
      figure.append(make('figcaption', {}, 'Made by optimisation: ' + made.settings + '.' + best + notes.map(function (note) { return ' Of one: ' + note + '.'; }).join('')));
    }
    return figure;
  },

  // Its own kernel, or the strongest of those that come in, with links to the units that they read.
  weights: function (layer, unit, number) {
    if (layer.kernels) {
      const colour = layer.kernels.shape[1] === 3;
      return make('figure', {}, make('h3', {}, 'Weights'), make('div', { class: 'large' }, CNN_JAX.unitPicture(layer, unit, 'weights', 'unit')),
        colour ? null : paint.bar(layer.kernels.signed, paint.largest(paint.picture(layer.kernels, [unit, 0]))), make('figcaption', {}, 'Norm ' + short(layer.norm[unit]) + '.'));
    }
    if (!layer.incoming) return null;
    const incoming = layer.incoming;
    const source = layer.source === null ? -1 : CNN_JAX.layerNumber(layer.source);
    const tiles = incoming.channels[unit].map(function (channel, place) {
      const picture = paint.picture(incoming.kernels, [unit, place]);
      const inside = [paint.canvas(picture, incoming.kernels.limit, 'kernel from channel ' + channel), make('span', { class: 'label' }, make('b', {}, String(channel)), ' norm ' + short(incoming.norms[unit][place]))];
      if (source < 0) return make('span', { class: 'tile' }, inside);
      return make('a', { class: 'tile', href: CNN_JAX.link({ layer: layer.source, unit: channel }, CNN_JAX.kept()) }, inside);
    });
    return make('figure', {}, make('h3', {}, 'Strongest weights' + (layer.source === null ? '' : ' from ' + layer.source)), make('div', { class: 'wall' }, tiles), paint.bar(incoming.kernels.signed, incoming.kernels.limit));
  },

  map: function (layer, unit) {
    const images = CNN_JAX.data.images;
    const image = images.all[images.chosen[CNN_JAX.chosenPlace()]];
    if (CNN_JAX.mapPlace(layer) < 0) return null;
    const pair = make('div', { class: 'pair' }, paint.whole(image, null), CNN_JAX.unitPicture(layer, unit, 'map', 'unit'));
    const largest = unit < layer.maps.shape[1] ? paint.largest(paint.picture(layer.maps, [CNN_JAX.mapPlace(layer), unit])) : layer.maps.limit;
    return make('figure', {}, make('h3', {}, 'Map of image ' + image.row), pair, paint.bar(layer.maps.signed, largest));
  },
};
