'use strict';
// Arrays as pictures. Bytes become colours by the tables of the run: blue below zero, orange above.

const paint = {
  // The bytes of a packed array; kept, for maps are drawn again and again.
  bytes: function (packed) {
    if (!packed.bytes) {
      const text = atob(packed.data);
      packed.bytes = Uint8Array.from(text, function (letter) { return letter.charCodeAt(0); });
    }
    return packed.bytes;
  },

  // One number for a byte, as Python wrote it.
  value: function (packed, byte) {
    return packed.signed ? (byte - 128) / 127 * packed.limit : byte / 255 * packed.limit;
  },

  // The picture at some place of the leading axes of a packed array (.., height, width).
  picture: function (packed, places) {
    const shape = packed.shape;
    const height = shape[shape.length - 2];
    const width = shape[shape.length - 1];
    let number = 0;
    places.forEach(function (place, axis) { number = number * shape[axis] + place; });
    const size = height * width;
    return { packed: packed, height: height, width: width, bytes: paint.bytes(packed).subarray(number * size, (number + 1) * size) };
  },

  // Whether the page is dark; paper is light.
  isDark: function () { return matchMedia('(prefers-color-scheme: dark)').matches && !matchMedia('print').matches; },

  // 256 colours for the theme of the page.
  table: function (signed) {
    return CNN_JAX.data.run.colours[(signed ? 'signed' : 'unsigned') + (paint.isDark() ? '_dark' : '')];
  },

  // How light a colour is, 0 to 1, as WCAG 2 reckons contrasts.
  luminance: function (colour) {
    const linear = colour.map(function (part) { return part <= 10 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  },

  // The largest magnitude in a picture.
  largest: function (picture) {
    return picture.bytes.reduce(function (most, byte) {
      return Math.max(most, Math.abs(paint.value(picture.packed, byte)));
    }, 0);
  },

  // A canvas of a picture. limit: the end of the colours.
  canvas: function (picture, limit, label) {
    const canvas = make('canvas', { width: picture.width, height: picture.height, role: 'img', 'aria-label': label });
    return paint.fill(canvas, function (place) { return paint.value(picture.packed, picture.bytes[place]); }, limit, picture.packed.signed);
  },

  // Colours a canvas by the number of each place; limit: the end of the colours.
  fill: function (canvas, value, limit, signed) {
    const context = canvas.getContext('2d');
    const drawn = context.createImageData(canvas.width, canvas.height);
    const table = paint.table(signed);
    for (let place = 0; place < canvas.width * canvas.height; place += 1) {
      const share = limit ? value(place) / limit : 0;
      const shade = Math.round(signed ? 127.5 + 127.5 * share : 255 * share);
      const colour = table[Math.min(255, Math.max(0, shade))];
      drawn.data.set([colour[0], colour[1], colour[2], 255], 4 * place);
    }
    context.putImageData(drawn, 0, 0);
    return canvas;
  },

  // A part of a picture: the upper left corner, so high and wide.
  corner: function (picture, height, width) {
    const bytes = new Uint8Array(height * width);
    for (let row = 0; row < height; row += 1) bytes.set(picture.bytes.subarray(row * picture.width, row * picture.width + width), row * width);
    return { packed: picture.packed, height: height, width: width, bytes: bytes };
  },

  // An image of bytes (.., height, width, channels), in its own colours.
  pixels: function (packed, places, label) {
    const shape = packed.shape.slice(-3);
    const number = places.reduce(function (sum, place, axis) { return sum * packed.shape[axis] + place; }, 0);
    const start = number * shape[0] * shape[1] * shape[2];
    const canvas = make('canvas', { width: shape[1], height: shape[0], role: 'img', 'aria-label': label });
    const context = canvas.getContext('2d');
    const drawn = context.createImageData(shape[1], shape[0]);
    for (let place = 0; place < shape[0] * shape[1]; place += 1) {
      for (let channel = 0; channel < 3; channel += 1) drawn.data[4 * place + channel] = paint.bytes(packed)[start + place * shape[2] + (shape[2] === 3 ? channel : 0)];
      drawn.data[4 * place + 3] = 255;
    }
    context.putImageData(drawn, 0, 0);
    return canvas;
  },

  // A colour kernel (3 inputs) as one picture; grey is no weight. places: of it in the leading axes. end: of the colours;
  // null: its own largest weight.
  colourKernel: function (packed, places, end, label) {
    const parts = [0, 1, 2].map(function (input) { return paint.picture(packed, places.concat(input)); });
    const limit = (end === null ? Math.max.apply(null, parts.map(paint.largest)) : end) || 1;
    const canvas = make('canvas', { width: parts[0].width, height: parts[0].height, role: 'img', 'aria-label': label });
    const context = canvas.getContext('2d');
    const drawn = context.createImageData(parts[0].width, parts[0].height);
    parts[0].bytes.forEach(function (byte, place) {
      parts.forEach(function (part, input) {
        drawn.data[4 * place + input] = 127.5 + 127.5 * paint.value(packed, part.bytes[place]) / limit;
      });
      drawn.data[4 * place + 3] = 255;
    });
    context.putImageData(drawn, 0, 0);
    return canvas;
  },

  // The colours with their numbers; limit null: each picture has its own end.
  bar: function (signed, limit) {
    const table = paint.table(signed);
    const stops = [0, 32, 64, 96, 128, 160, 192, 224, 255].map(function (shade) { return 'rgb(' + table[shade].join(',') + ')'; });
    const end = limit === null ? 'largest of the unit' : short(limit);
    const start = !signed ? '0' : limit === null ? '\u2212 largest' : short(-limit);
    return make('div', { class: 'bar' }, make('span', {}, start),
      make('span', { class: 'shades', style: 'background: linear-gradient(to right,' + stops.join(',') + ')' }), make('span', {}, end));
  },

  // A part of an image, `across` pixels wide at most. box: top, left, bottom, right.
  patch: function (image, box, across) {
    const height = box[2] - box[0];
    const width = box[3] - box[1];
    const scale = across / Math.max(height, width, 1);
    const style = 'width:' + width * scale + 'px;height:' + height * scale + 'px;background-image:url(' + image.source +
      ');background-size:' + image.size[1] * scale + 'px ' + image.size[0] * scale + 'px;background-position:' +
      -box[1] * scale + 'px ' + -box[0] * scale + 'px';
    return make('span', { class: 'patch', role: 'img', style: style, 'aria-label': 'a patch of image ' + image.row });
  },

  // A whole image, with a box in it where there is one.
  whole: function (image, box) {
    const shares = box && [box[0] / image.size[0], box[1] / image.size[1], (box[2] - box[0]) / image.size[0], (box[3] - box[1]) / image.size[1]];
    const style = shares && 'top:' + 100 * shares[0] + '%;left:' + 100 * shares[1] + '%;height:' + 100 * shares[2] + '%;width:' + 100 * shares[3] + '%';
    return make('span', { class: 'whole' },
      make('img', { src: image.source, alt: CNN_JAX.words(image), class: image.source.indexOf('data:image/jpeg') ? null : 'photograph' }),
      box ? make('span', { class: 'box', style: style }) : null);
  },
};
