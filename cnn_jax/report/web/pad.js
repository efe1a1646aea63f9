'use strict';
// A pad to draw on, as fine as the images of the run: pixels of 0 to 255, the same in all channels.

// shape: height, width, channels. pixels: what is drawn on, changed in place. changed() hears of each bit of a stroke,
// ended() of its end.
CNN_JAX.pad = function (shape, pixels, changed, ended) {
  const [height, width, channels] = shape;
  const radius = Math.max(0.8, 0.05 * Math.max(height, width));
  const cursor = { row: Math.floor(height / 2), column: Math.floor(width / 2), shown: false };
  const canvas = make('canvas', { width: width, height: height, class: 'pad', tabindex: 0, role: 'application',
    'aria-label': 'Drawing pad of ' + height + ' by ' + width + ' pixels. Arrow keys move the pen, with Shift they draw, Space makes a dot.' });
  const box = make('span', { class: 'pen', hidden: true });
  let last = null, drawing = null;  // where the stroke is, and the pointer that draws it

  function show() {
    const context = canvas.getContext('2d');
    const drawn = context.createImageData(width, height);
    for (let place = 0; place < height * width; place += 1) {
      for (let channel = 0; channel < 3; channel += 1) drawn.data[4 * place + channel] = pixels[place * channels + (channels === 1 ? 0 : channel)];
      drawn.data[4 * place + 3] = 255;
    }
    context.putImageData(drawn, 0, 0);
    box.style.cssText = 'left:' + 100 * cursor.column / width + '%;top:' + 100 * cursor.row / height + '%;width:' + 100 / width + '%;height:' + 100 / height + '%';
    box.hidden = !cursor.shown;
  }

  // A round dot with a soft edge.
  function dot(row, column) {
    const light = CNN_JAX.pad.ink === 'light';
    for (let y = Math.max(0, Math.floor(row - radius - 1)); y < Math.min(height, row + radius + 1); y += 1) {
      for (let x = Math.max(0, Math.floor(column - radius - 1)); x < Math.min(width, column + radius + 1); x += 1) {
        const ink = 255 * Math.min(1, Math.max(0, radius + 0.5 - Math.hypot(y + 0.5 - row, x + 0.5 - column)));
        for (let channel = 0; channel < channels; channel += 1) {
          const place = (y * width + x) * channels + channel;
          pixels[place] = light ? Math.max(pixels[place], Math.round(ink)) : Math.min(pixels[place], Math.round(255 - ink));
        }
      }
    }
  }

  function line(from, to) {
    const parts = Math.max(1, Math.ceil(2 * Math.hypot(to.row - from.row, to.column - from.column)));
    for (let part = 0; part <= parts; part += 1) dot(from.row + (to.row - from.row) * part / parts, from.column + (to.column - from.column) * part / parts);
    show();
    changed();
  }

  function under(event) {
    const place = canvas.getBoundingClientRect();
    return { row: (event.clientY - place.top) / place.height * height, column: (event.clientX - place.left) / place.width * width };
  }

  canvas.addEventListener('pointerdown', function (event) {
    if (event.button || drawing !== null) return;  // another button, or a second finger
    canvas.setPointerCapture(event.pointerId);
    drawing = event.pointerId;
    cursor.shown = false;
    last = under(event);
    line(last, last);
  });
  canvas.addEventListener('pointermove', function (event) {
    if (event.pointerId !== drawing) return;
    const next = under(event);
    line(last, next);
    last = next;
  });
  ['pointerup', 'pointercancel'].forEach(function (name) {
    canvas.addEventListener(name, function (event) {
      if (event.pointerId !== drawing) return;
      drawing = null;
      ended();
    });
  });
  canvas.addEventListener('blur', function () { cursor.shown = false; show(); });
  canvas.addEventListener('keydown', function (event) {
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], ' ': [0, 0] }[event.key];
    if (!steps) return;
    event.preventDefault();
    event.stopPropagation();
    const from = { row: cursor.row + 0.5, column: cursor.column + 0.5 };
    cursor.shown = true;
    cursor.row = Math.min(height - 1, Math.max(0, cursor.row + steps[0]));
    cursor.column = Math.min(width - 1, Math.max(0, cursor.column + steps[1]));
    if (event.shiftKey || event.key === ' ') {
      line(from, { row: cursor.row + 0.5, column: cursor.column + 0.5 });
      ended();
    } else show();
  });
  show();
  return { element: make('div', { class: 'pad-box' }, canvas, box), show: show };
};
CNN_JAX.pad.ink = 'light';

// A drawing as letters for an address: runs of one value, two letters for it and then how many, of base 36. null where
// it has colours, or would be too long.
CNN_JAX.pad.letters = function (pixels, channels) {
  const runs = [];
  for (let place = 0; place < pixels.length; place += channels) {
    for (let channel = 1; channel < channels; channel += 1) if (pixels[place + channel] !== pixels[place]) return null;
    const last = runs[runs.length - 1];
    if (last && last[0] === pixels[place]) last[1] += 1;
    else runs.push([pixels[place], 1]);
  }
  const text = runs.map(function (run) { return run[0].toString(16).padStart(2, '0') + run[1].toString(36); }).join('.');
  return text.length > 4000 ? null : text;
};

// What `letters` was given; null for what is no drawing of that size.
CNN_JAX.pad.pixels = function (letters, size, channels) {
  const found = letters.split('.').flatMap(function (run) {
    return new Array(channels * Math.min(size, parseInt(run.slice(2), 36) || 0)).fill(parseInt(run.slice(0, 2), 16));
  });
  return found.length === size && found.every(Number.isFinite) ? Float32Array.from(found) : null;
};
