'use strict';
// The net runs in the page: what is drawn goes through all layers at each stroke.

CNN_JAX.views.alive = {
  needs: function () { return ['images', 'alive']; },
  drawn: null, // what is on the pad, and the image that it began with

  show: function (place, state) {
    const alive = CNN_JAX.data.alive;
    place.append(make('h2', {}, 'Alive'));
    if (!alive.program) {
      const why = alive.refused ? 'This net does not run in the page: ' + alive.refused + '.' : 'This net does not run in the page; the log of the run says why.';
      place.append(make('p', { class: 'note' }, why));
      return;
    }
    place.append(make('p', { class: 'note' }, 'Draw, and the net runs here, in your browser, with all of its ' + alive.parameters.toLocaleString('en-US') + ' numbers. Or choose a test image to begin with.'));
    place.append(CNN_JAX.imageStrip(false));
    const here = CNN_JAX.views.alive;
    here.begin(state);
    const cams = CNN_JAX.data.run.layers.map(function (layer) { return layer.name; }).filter(function (name) { return 'cam:' + name in alive.program.outputs; });
    const look = { state: state, cam: cams.indexOf(state.cam) >= 0 ? state.cam : cams[cams.length - 1], parts: [] };
    const pad = CNN_JAX.pad(alive.image, here.drawn.pixels, function () { here.drawn.touched = true; here.soon(look); }, here.remember);
    place.append(make('div', { class: 'panels three' }, here.padPanel(pad, look), here.scoresPanel(look), here.camPanel(look, cams)));
    CNN_JAX.data.run.layers.forEach(function (layer) { place.append(here.row(look, layer)); });
    CNN_JAX.sliding.show(place, state, look);
    here.compute(look);
  },

  // The pixels of the chosen image, unless that is what is drawn on already.
  begin: function (state) {
    const alive = CNN_JAX.data.alive;
    const row = CNN_JAX.data.images.all[CNN_JAX.data.images.chosen[CNN_JAX.chosenPlace()]].row;
    const here = CNN_JAX.views.alive;
    here.program = here.program || programs.open(alive.program);
    if (!here.drawn || here.drawn.row !== row) here.drawn = { row: row, touched: false, pixels: here.pixelsOf(alive.rows.indexOf(row)) };
    const given = state.drawn === undefined ? null : CNN_JAX.pad.pixels(state.drawn, here.drawn.pixels.length, alive.image[2]);
    if (!given) return;
    here.drawn.pixels.set(given);
    here.drawn.touched = true;
  },

  // Puts what is drawn into the address, so that a link opens it again; the view stays as it is.
  remember: function () {
    const drawn = CNN_JAX.views.alive.drawn;
    const letters = drawn.touched ? CNN_JAX.pad.letters(drawn.pixels, CNN_JAX.data.alive.image[2]) : null;
    history.replaceState(null, '', CNN_JAX.link({ drawn: letters }));
  },

  pixelsOf: function (number) {
    const packed = CNN_JAX.data.alive.pixels;
    const size = packed.shape[1] * packed.shape[2] * packed.shape[3];
    return Float32Array.from(paint.bytes(packed).subarray(number * size, (number + 1) * size));
  },

  // At the next frame, however many strokes there are until then.
  soon: function (look) {
    if (look.waits) return;
    look.waits = true;
    requestAnimationFrame(function () { look.waits = false; CNN_JAX.views.alive.compute(look); });
  },

  // Runs the net and tells all parts of the view.
  compute: function (look) {
    const here = CNN_JAX.views.alive;
    const classes = CNN_JAX.data.run.classes.length;
    const asked = Number(look.state.class);
    const first = here.run(0);
    const probabilities = Array.from(first.output('probabilities'));
    const best = probabilities.indexOf(Math.max.apply(null, probabilities));
    const target = look.state.class !== undefined && asked >= 0 && asked < classes ? asked : best;
    here.pass = target === 0 ? first : here.run(target);
    here.target = target;
    look.parts.forEach(function (part) { part(here.pass, probabilities, target); });
  },

  run: function (target) {
    const here = CNN_JAX.views.alive;
    const weights = new Float32Array(CNN_JAX.data.run.classes.length);
    weights[target] = 1;
    return programs.run(here.program, [here.drawn.pixels, weights]);
  },

  padPanel: function (pad, look) {
    const here = CNN_JAX.views.alive;
    const alive = CNN_JAX.data.alive;
    function put(pixels, touched) {
      here.drawn.pixels.set(pixels);
      here.drawn.touched = touched;
      here.remember();
      pad.show();
      here.compute(look);
    }
    const number = alive.rows.indexOf(here.drawn.row);
    const buttons = [
      make('button', { type: 'button', onclick: function () { put(new Float32Array(here.drawn.pixels.length).fill(CNN_JAX.pad.ink === 'light' ? 0 : 255), true); } }, 'Clear'),
      make('button', { type: 'button', onclick: function () { put(here.pixelsOf(number), false); } }, 'Image ' + here.drawn.row + ' again'),
      choice('Ink', [['light', 'light'], ['dark', 'dark']], CNN_JAX.pad.ink, function (ink) { CNN_JAX.pad.ink = ink; }),
    ];
    const same = make('figcaption', { 'aria-live': 'polite' });
    look.parts.push(function (pass) {
      if (here.drawn.touched) { same.textContent = 'Mouse, finger, or keys: arrows move the pen, with Shift they draw.'; return; }
      const scores = pass.output('scores');
      const off = alive.scores[number].reduce(function (most, score, place) { return Math.max(most, Math.abs(score - scores[place])); }, 0);
      same.textContent = 'Test image ' + here.drawn.row + ': the scores that the page computes are those of the run to within ' + off.toFixed(7) + '.';
    });
    return make('figure', { class: 'drawing' }, titled('Draw here', 'alive'), pad.element, make('div', { class: 'controls' }, buttons), same);
  },

  scoresPanel: function (look) {
    const list = make('div', { 'aria-live': 'off' });
    look.parts.push(function (pass, probabilities) {
      const order = probabilities.map(function (_, number) { return number; }).sort(function (one, other) { return probabilities[other] - probabilities[one]; });
      const few = probabilities.length <= 12;
      const shown = few ? probabilities.map(function (_, number) { return number; }) : order.slice(0, 10);
      const best = order[0];
      list.replaceChildren(make('ol', { class: 'scores' }, shown.map(function (number) {
        return make('li', { class: number === best ? 'right' : null }, make('span', { class: 'name', title: CNN_JAX.className(number) }, CNN_JAX.className(number)),
          make('span', { class: 'track' }, make('span', { style: 'width:' + 100 * probabilities[number] + '%' })), make('span', { class: 'number' }, percent(probabilities[number])));
      })));
    });
    return make('figure', {}, make('h3', {}, 'What the net says'), list);
  },

  // Grad-CAM over the drawing: only where it is positive something is laid over.
  camPanel: function (look, cams) {
    if (!cams.length) return null;
    const title = titled('', 'grad_cam');
    const box = make('div', {});
    look.parts.push(function (pass, probabilities, target) {
      const shape = pass.shape('cam:' + look.cam);
      const values = pass.output('cam:' + look.cam);
      const most = values.reduce(function (one, other) { return Math.max(one, other); }, 0);
      title.querySelector('h3').textContent = 'Grad-CAM for ' + CNN_JAX.className(target);
      const map = make('canvas', { width: shape[2], height: shape[1], role: 'img', 'aria-label': 'Grad-CAM at ' + look.cam + ' for ' + CNN_JAX.className(target) });
      paint.fill(map, function (place) { return values[place]; }, most, false);
      box.replaceChildren(make('div', { class: 'large' }, map), paint.bar(false, most), make('p', { class: 'label' }, most > 0 ? 'How much each place speaks for the class, in units of its score.' : 'Nothing in this layer speaks for the class.'));
    });
    const layers = choice('Layer', cams.map(function (name) { return [name, name]; }), look.cam, function (name) { go({ cam: name }); });
    const classes = choice('Class', [['', 'the likeliest']].concat(CNN_JAX.data.run.classes.map(function (name, number) { return [String(number), name]; })), look.state.class || '', function (number) { go({ class: number || null }); });
    return make('figure', {}, title, box, make('div', { class: 'controls' }, layers, classes));
  },

  // All maps of a layer.
  row: function (look, layer) {
    const bar = make('div', {});
    const box = make('div', {});
    look.parts.push(function (pass) {
      const shape = pass.shape('layer:' + layer.name);
      const values = pass.output('layer:' + layer.name);
      const [height, width, channels] = shape.length === 4 ? shape.slice(1) : [1, 1, shape[shape.length - 1]];
      const most = values.reduce(function (one, other) { return Math.max(one, Math.abs(other)); }, 0);
      const signed = values.some(function (value) { return value < 0; });
      bar.replaceChildren(paint.bar(signed, most));
      box.className = height * width === 1 ? 'cells' : 'thumbs';
      box.replaceChildren.apply(box, Array.from({ length: channels }, function (_, channel) {
        const canvas = make('canvas', { width: width, height: height, role: 'img', 'aria-label': layer.name + ' unit ' + channel });
        paint.fill(canvas, function (place) { return values[place * channels + channel]; }, most, signed);
        return make('a', { href: CNN_JAX.link({ layer: layer.name, unit: channel }, CNN_JAX.kept()), title: 'unit ' + channel }, canvas);
      }));
    });
    return make('div', { class: 'maps' }, make('h3', {}, make('a', { href: CNN_JAX.link({ layer: layer.name }, CNN_JAX.kept()) }, layer.name)), bar, box);
  },
};
