'use strict';
// One slider over the steps of the training that were kept: it drives every page that shows the net at a step.

CNN_JAX.steps = {
  // Pages with the slider; the others show the net of the page alone.
  pages: ['layer', 'unit', 'image', 'space', 'training'],

  isThere: function () { return CNN_JAX.data.run.patches && CNN_JAX.data.run.history.length > 0; },

  // The scripts that the slider needs on a page.
  needs: function (page) { return CNN_JAX.steps.isThere() && CNN_JAX.steps.pages.indexOf(page) >= 0 ? ['training'] : []; },

  list: function () { return (CNN_JAX.steps.isThere() && CNN_JAX.data.training?.steps) || []; },

  // The place among the steps of the largest one that is not after the wanted one; the last where none is wanted.
  place: function (wanted) {
    const steps = CNN_JAX.steps.list();
    if (wanted === undefined || !Number.isFinite(Number(wanted))) return steps.length - 1;
    return Math.max(0, steps.filter(function (step) { return step <= Number(wanted); }).length - 1);
  },

  // The place of the step that the page shows; null where that is the net of all pages, of which everything is known.
  at: function (state) {
    const steps = CNN_JAX.steps.list();
    if (state.step === undefined || !steps.length) return null;
    const place = CNN_JAX.steps.place(state.step);
    return steps[place] === CNN_JAX.data.run.step ? null : place;
  },

  // Goes so many steps on. A view with `move` shows it in its place, others are drawn anew.
  turn: function (by) {
    const steps = CNN_JAX.steps.list(), now = CNN_JAX.steps.place(CNN_JAX.state().step);
    const next = Math.max(0, Math.min(steps.length - 1, now + by));
    const view = CNN_JAX.views[document.getElementById('microscope').dataset.view];
    CNN_JAX.remember({ step: steps[next] });
    CNN_JAX.steps.tell();
    if (view.move) view.move(next);
    else CNN_JAX.redraw();
  },

  // Of the slider that is on the page: where it stands, in numbers and in words.
  tell: function () {
    const shown = CNN_JAX.steps.shown, steps = CNN_JAX.steps.list();
    if (!shown) return;
    const at = CNN_JAX.steps.place(CNN_JAX.state().step);
    shown.input.value = at;
    shown.input.setAttribute('aria-valuetext', 'step ' + steps[at]);
    shown.words.textContent = 'step ' + steps[at].toLocaleString('en') + ' of ' + steps[steps.length - 1].toLocaleString('en');
  },

  // The slider in its place, which stays as it is while a view below it is drawn anew: a hand may hold it.
  put: function (place, page) {
    const here = CNN_JAX.steps, steps = here.list();
    if (here.pages.indexOf(page) < 0 || steps.length < 2) {
      here.shown = null;
      return place.replaceChildren();
    }
    if (!here.shown) {
      const input = make('input', { type: 'range', min: 0, max: steps.length - 1, 'aria-label': 'step of the training',
        oninput: function () { here.turn(Number(input.value) - here.place(CNN_JAX.state().step)); } });
      const play = make('button', { type: 'button', class: 'switch', onclick: function () { here.play(play); } }, 'Play');
      here.shown = { input: input, words: make('output', {}) };
      place.replaceChildren(make('div', { class: 'slider' }, play, input, here.shown.words));
    }
    return here.tell();
  },

  // From the first step to the last, as long as the page shows them.
  play: function (button) {
    const here = CNN_JAX.steps, last = here.list().length - 1;
    function now() { return here.place(CNN_JAX.state().step); }
    if (here.playing) {
      clearInterval(here.playing);
      here.playing = null;
      button.textContent = 'Play';
      return;
    }
    if (now() === last) here.turn(-last);
    button.textContent = 'Stop';
    here.playing = setInterval(function () {
      if (now() === last || !button.isConnected) here.play(button);
      else here.turn(1);
    }, 700);
  },

  // What a page cannot show of another step.
  note: function (words) {
    const state = CNN_JAX.state(), steps = CNN_JAX.steps.list();
    return make('p', { class: 'note' }, 'The net at step ' + steps[CNN_JAX.steps.at(state)].toLocaleString('en') + '. ' + words + ' ',
      make('a', { href: CNN_JAX.link({ step: null }) }, 'Show step ' + CNN_JAX.data.run.step.toLocaleString('en')));
  },

  // A part of a packed array, at a place of its first axis.
  slice: function (packed, at) {
    const shape = packed.shape.slice(1), size = arrays.count(shape);
    return { shape: shape, limit: packed.limit, signed: packed.signed, shrunk: 1, bytes: paint.bytes(packed).subarray(at * size, (at + 1) * size) };
  },

  // A layer as it was at a step: what was kept of it in the place of what it is in the end.
  layer: function (number, at) {
    const whole = CNN_JAX.layer(number);
    if (at === null) return whole;
    const data = CNN_JAX.data.training, births = data.births[number], steps = data.steps.length, own = Object.create(whole);
    function row(packed, start, apart) {
      return Array.from({ length: whole.shown }, function (_, unit) { return paint.value(packed, paint.bytes(packed)[start + unit * apart]); });
    }
    const same = whole.kernels && data.filters && String(data.filters.shape.slice(1)) === String(whole.kernels.shape);
    const image = CNN_JAX.data.images.all[CNN_JAX.data.images.chosen[CNN_JAX.chosenPlace()]].row;
    return Object.assign(own, {
      step: data.steps[at], maps: CNN_JAX.steps.slice(data.maps[number], at), image: data.images.indexOf(image),
      mean: row(data.means[number], at * data.means[number].shape[1], 1), dead: data.dead_units[number][at], all_dead: data.dead[number][at],
      selectivity: births && row(births.correlations, at, steps), selective_for: births?.classes,
      kernels: same ? CNN_JAX.steps.slice(data.filters, at) : null, incoming: null, norm: null,
    });
  },
};

// The place of the chosen image among the maps of a layer; -1 where a layer at a step has none.
CNN_JAX.mapPlace = function (layer) { return layer.step === undefined ? CNN_JAX.chosenPlace() : layer.image; };
