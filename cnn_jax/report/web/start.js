'use strict';
// Draws the view that the address names, and again when it changes; the keys.

(function () {
  const place = document.getElementById('microscope');
  const ways = make('div', {}), slider = make('div', { class: 'holder' }), body = make('div', {});
  place.append(ways, slider, body);

  function viewOf(state) {
    if (['overview', 'alive', 'space', 'training'].indexOf(state.page) >= 0) return state.page;
    if (state.layer !== undefined && CNN_JAX.layerNumber(state.layer) >= 0) return state.unit !== undefined ? 'unit' : 'layer';
    return state.page === 'image' || state.image !== undefined ? 'image' : 'overview';
  }

  // The way to every view, and where we are.
  function navigation(view, state) {
    const layers = CNN_JAX.data.run.layers.map(function (layer) { return [layer.name, layer.name]; });
    const pick = choice('Layer', [['', 'choose']].concat(layers), view === 'layer' || view === 'unit' ? state.layer : '', function (name) {
      if (name) go({ layer: name }, CNN_JAX.kept());
    });
    pick.querySelector('select').id = 'layers';
    const pages = [['overview', 'Overview'], ['image', 'Images'], ['space', 'Space'], ['training', 'Training'], ['alive', 'Alive']];
    return make('nav', { class: 'views', 'aria-label': 'Microscope' }, pages.map(function (page) {
      const link = CNN_JAX.link({ page: page[0] }, state.step && CNN_JAX.steps.pages.indexOf(page[0]) >= 0 ? { step: state.step } : {});
      return make('a', { href: link, 'aria-current': view === page[0] ? 'page' : null }, page[1]);
    }), pick);
  }

  // Which control of the view has the focus: a choice draws the view anew, and the keyboard is to stay where it was.
  function controls() { return Array.from(place.querySelectorAll('select, input, button, summary, canvas[tabindex]')); }

  function focused() { return controls().indexOf(document.activeElement); }

  function restore(number) {
    const control = controls()[number];
    if (control && control.tagName !== 'BUTTON') control.focus({ preventScroll: true });
  }

  function draw() {
    const state = CNN_JAX.state();
    const view = viewOf(state);
    CNN_JAX.need(CNN_JAX.steps.needs(view).concat(CNN_JAX.views[view].needs(state)), function () {
      if (view !== viewOf(CNN_JAX.state())) return;
      const fresh = make('div', {}), focus = focused();
      if (state.layer !== undefined && CNN_JAX.layerNumber(state.layer) < 0) {
        fresh.append(make('p', { class: 'note', role: 'alert' }, 'This net has no layer ' + state.layer + '.'));
      }
      try {
        CNN_JAX.views[view].show(fresh, state);
      } catch (error) {
        console.error(error);
        fresh.append(make('p', { class: 'note', role: 'alert' }, 'This view cannot be drawn: ' + error.message + '.'));
      }
      const same = place.dataset.view === view;
      ways.replaceChildren(navigation(view, state));
      CNN_JAX.steps.put(slider, view);
      body.replaceChildren(fresh);
      place.hidden = false;
      if (same) restore(focus);
      place.dataset.view = view;
      document.body.classList.toggle('looking-closer', view !== 'overview');
    });
  }

  // The next or the previous of what is looked at.
  function turn(by) {
    const state = CNN_JAX.state();
    const view = viewOf(state);
    const layers = CNN_JAX.data.run.layers;
    if (CNN_JAX.views[view].turn) {
      CNN_JAX.views[view].turn(by);
    } else if (view === 'unit') {
      const count = CNN_JAX.layer(CNN_JAX.layerNumber(state.layer)).shown;
      go({ unit: Math.min(count - 1, Math.max(0, Number(state.unit) + by)) });
    } else if (view === 'layer') {
      const number = CNN_JAX.layerNumber(state.layer) + by;
      if (number >= 0 && number < layers.length) go({ layer: layers[number].name });
    } else {
      const images = CNN_JAX.data.images;
      const next = Math.min(images.chosen.length - 1, Math.max(0, CNN_JAX.chosenPlace() + by));
      go({ image: images.all[images.chosen[next]].row });
    }
  }

  function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const view = place.dataset.view;
    if (event.key === '/') { event.preventDefault(); document.getElementById('layers').focus(); }
    if (view !== 'overview' && event.key === 'ArrowRight') turn(1);
    if (view !== 'overview' && event.key === 'ArrowLeft') turn(-1);
    if (event.key === 'Escape') location.hash = view === 'unit' ? CNN_JAX.link({ unit: null }) : '#page=overview';
  }

  function drawWhenThere() { CNN_JAX.need(['run'], draw); }

  CNN_JAX.redraw = drawWhenThere;
  window.addEventListener('hashchange', drawWhenThere);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawWhenThere);
  matchMedia('print').addEventListener('change', drawWhenThere);
  document.addEventListener('keydown', key);
  drawWhenThere();
})();
