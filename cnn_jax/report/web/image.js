'use strict';
// One image: what the net says of it, as its task shows that, and the maps of all layers.

CNN_JAX.views.image = {
  needs: function () { return ['images', 'maps', 'drawn'].concat(CNN_JAX.layerScripts()); },

  show: function (place, state) {
    const images = CNN_JAX.data.images;
    const chosen = CNN_JAX.chosenPlace();
    const image = images.all[images.chosen[chosen]];
    place.append(make('h2', {}, 'Image ' + image.row));
    if (state.image !== undefined && Number(state.image) !== image.row) {
      place.append(make('p', { class: 'note', role: 'alert' }, 'The maps of image ' + state.image + ' are not kept; this is another one.'));
    }
    place.append(CNN_JAX.imageStrip(true));
    place.append(CNN_JAX.views.image.at(image));
    if (CNN_JAX.data.run.question) place.append(make('p', { class: 'note' }, 'The maps below, and those of the layers, are of the net that is asked of each image: ' + CNN_JAX.data.run.question));
    const at = CNN_JAX.steps.at(state), kept = at === null ? -1 : CNN_JAX.data.training.images.indexOf(image.row);
    if (at === null) CNN_JAX.attributions.show(place, state, image);
    place.append(make('h2', {}, 'What each layer makes of it'));
    if (at !== null && kept < 0) return place.append(CNN_JAX.notKept());
    const layers = CNN_JAX.data.run.layers.map(function (about, number) { return CNN_JAX.steps.layer(number, at); });
    const limits = layers.map(function (layer) { return layer.maps.limit; });
    const all = state.scale === 'all';
    place.append(make('div', { class: 'controls' }, choice('Colours to', [['layer', 'the largest of each layer'], ['all', 'the largest of all layers']], all ? 'all' : 'layer', function (key) { go({ scale: key }); })));
    layers.forEach(function (layer) {
      place.append(CNN_JAX.views.image.row(layer, at === null ? chosen : kept, all ? Math.max.apply(null, limits) : layer.maps.limit));
    });
    return undefined;
  },

  // What the net says, at the step of the slider too.
  at: function (image) {
    const at = CNN_JAX.steps.at(CNN_JAX.state());
    if (at === null) return CNN_JAX.views.image.answer(image);
    const scores = CNN_JAX.data.training.scores[CNN_JAX.data.training.images.indexOf(image.row)];
    const note = CNN_JAX.steps.note('What counted, and what the task draws, are of the net of the page alone.');
    const says = scores?.length ? make('figure', {}, make('h3', {}, 'What the net says'), charts.scores({ classes: image.classes, top: scores[at] })) : null;
    return make('div', {}, note, make('div', { class: 'panels' }, make('figure', {}, make('h3', {}, image.truth), make('div', { class: 'large' }, paint.whole(image, null))), says));
  },

  // What is right and what the net says: the task's own picture and its texts, and the scores of classes.
  answer: function (image) {
    const drawn = CNN_JAX.data.drawn, place = (drawn.rows || []).indexOf(image.row), own = place >= 0 ? drawn.images[place] : null;
    const words = image.answer ? 'the net says: ' + image.answer + (image.right === true ? ' \u2713' : '') : '';
    const scores = image.top.length ? make('figure', {}, make('h3', {}, 'What the net says'), charts.scores(image)) : null;
    if (!own) {
      const title = image.right === null || !image.answer ? image.truth : image.truth + (image.right ? '' : ', taken for ' + image.answer);
      const more = image.right === null && words ? make('p', { class: 'note' }, words) : null;
      return make('div', { class: 'panels' }, make('figure', {}, make('h3', {}, title), make('div', { class: 'large' }, paint.whole(image, null)), more), scores);
    }
    const texts = own.told.length ? own.told.map(CNN_JAX.views.image.told) : [image.truth ? make('p', { class: 'note' }, 'right: ' + image.truth) : null, words ? make('p', { class: 'note' }, words) : null].filter(Boolean);
    const judged = image.truth || own.told.length;
    return make('div', { class: 'panels answer' }, make('figure', { class: 'own' }, make('h3', {}, judged ? 'What is right, and what the net says' : 'The image, and what the net makes of it'),
      make('img', { src: own.source, alt: CNN_JAX.words(image) }), make('figcaption', {}, own.remark)),
    make('div', { class: 'stack' }, texts.length ? make('figure', {}, make('h3', {}, 'In words'), texts) : null, scores));
  },

  // A text of people beside that of the net.
  told: function (one) {
    const rows = (one.about ? [['asked', one.about, '']] : []).concat([['people', one.people, '']], one.net.map(function (said, place) {
      return [place ? 'or' : 'the net', said[0], (place ? '' : one.right ? '\u2713 right, ' : '\u2717 wrong, ') + said[1]];
    }));
    return make('table', { class: 'told' }, make('tbody', {}, rows.map(function (row) {
      return make('tr', {}, make('th', { scope: 'row' }, row[0]), make('td', {}, row[1]), make('td', { class: 'more' }, row[2]));
    })));
  },

  row: function (layer, image, limit) {
    const small = layer.maps.shape[2] === 1 && layer.maps.shape[3] === 1;
    const maps = Array.from({ length: Math.min(layer.shown, layer.maps.shape[1]) }, function (_, unit) {
      const picture = paint.picture(layer.maps, [image, unit]);
      const largest = paint.largest(picture);
      const link = { href: CNN_JAX.link({ layer: layer.name, unit: unit, page: null, scale: null }), title: 'unit ' + unit + ', largest ' + short(largest) };
      return make('a', link, paint.canvas(picture, limit, layer.name + ' unit ' + unit));
    });
    return make('div', { class: 'maps' }, make('h3', {}, make('a', { href: CNN_JAX.link({ layer: layer.name, page: null, scale: null }) }, layer.name)),
      paint.bar(layer.maps.signed, limit), make('div', { class: small ? 'cells' : 'thumbs' }, maps));
  },
};

// The chosen images in a row; with `choose` also the switch for mistakes alone.
CNN_JAX.imageStrip = function (choose) {
  const images = CNN_JAX.data.images;
  const state = CNN_JAX.state();
  const now = CNN_JAX.chosenPlace();
  const kept = !state.layer && !choose && state.page !== 'alive' ? { page: 'overview', drawn: null } : { drawn: null };
  const onlyWrong = choose && state.wrong === '1';
  const links = images.chosen.map(function (number, place) {
    const image = images.all[number];
    const wrong = image.right === false, words = CNN_JAX.words(image);
    if (onlyWrong && !wrong) return null;
    return make('a', { href: CNN_JAX.link(Object.assign({ image: image.row }, kept)), title: words, class: wrong ? 'wrong' : null, 'aria-current': place === now ? 'true' : null },
      make('img', { src: image.source, alt: words }));
  }).filter(Boolean);
  const known = images.all.some(function (image) { return image.right !== null; });
  const box = choose && known ? make('label', { class: 'choice' }, make('input', { type: 'checkbox', checked: onlyWrong, onchange: function () { go({ wrong: onlyWrong ? null : 1 }); } }), make('span', {}, (CNN_JAX.data.drawn?.rows ? 'wrong answers' : 'misclassified') + ' only (marked below)')) : null;
  const none = links.length ? null : make('p', { class: 'note' }, 'None of the kept images is misclassified.');
  return make('div', { class: 'strip-box' }, box, make('div', { class: 'strip' }, links), none);
};
