'use strict';
// The first view: findings, curves, and the network from left to right with the maps of one image.

CNN_JAX.views.overview = {
  needs: function () { return ['images'].concat(CNN_JAX.layerScripts()); },

  show: function (place) {
    const run = CNN_JAX.data.run;
    place.append(make('h2', {}, 'Under the microscope'));
    place.append(make('p', { class: 'note' }, 'What each unit does on ' + run.images.toLocaleString('en') + ' ' + run.split + ' images, with the weights of step ' + run.step.toLocaleString('en') + '.'));
    place.append(make('ul', { class: 'findings' }, run.findings.map(function (finding) {
      return make('li', {}, finding.text + ' ', finding.hash ? make('a', { href: '#' + finding.hash }, 'Show it') : null);
    })));
    place.append(CNN_JAX.imageStrip(false));
    place.append(make('p', { class: 'note' }, 'The network from left to right: the first maps of each layer for the chosen image. Choose a layer to look closer.'));
    place.append(make('div', { class: 'network' }, run.layers.map(CNN_JAX.views.overview.layer)));
    place.append(make('div', { class: 'figures' }, run.curves.map(function (curve) { return charts.curve(curve, run.checkpoints, run.step); })));
    if (run.checkpoints.length) {
      place.append(make('p', { class: 'note' }, 'Ticks below the curves: checkpoints, at steps ' + run.checkpoints.join(', ') + '.'));
    }
    place.append(make('details', {}, make('summary', {}, 'The command that repeats this run'), make('pre', {}, run.command)));
  },

  // A layer with the first of its maps.
  layer: function (about, number) {
    const layer = CNN_JAX.layer(number);
    const image = CNN_JAX.chosenPlace();
    const most = layer.maps.shape[2] === 1 ? 64 : 16;
    const units = Array.from({ length: Math.min(layer.shown, most) }, function (_, unit) { return unit; });
    const maps = units.map(function (unit) { return paint.picture(layer.maps, [image, unit]); });
    // On the layer's scale a quiet image would be blank; the numbers are on the layer's own page.
    const limit = Math.max.apply(null, maps.map(paint.largest));
    const pictures = maps.map(function (map, unit) { return paint.canvas(map, limit, about.name + ' unit ' + unit); });
    const size = CNN_JAX.data.images.all[0].size;
    const field = Number(about.field), sees = !field ? '' : field >= Math.max(size[0], size[1]) ? 'sees the whole image' : 'sees ' + about.field + ' pixels across';
    const small = layer.maps.shape[2] === 1 && layer.maps.shape[3] === 1;
    return make('a', { class: 'stage', href: CNN_JAX.link({ layer: about.name, unit: null, page: null }) },
      make('strong', {}, about.name), make('span', { class: 'more' }, about.kind + ', ' + about.shape.join(' x ')),
      make('span', { class: small ? 'cells' : 'thumbs' }, pictures),
      make('span', { class: 'more' }, [layer.all_dead ? layer.all_dead + ' dead' : '', sees].filter(Boolean).join(', ')));
  },
};
