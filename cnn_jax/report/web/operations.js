'use strict';
// The operations of a traced program on arrays of float32, by the names that JAX gives them. An array is its numbers, in
// rows; each operation is given its inputs, their shapes, the shape of what it makes, its settings, and a place where it
// keeps what depends on shapes alone, such as which number goes where.

const operations = (function () {
  const { count, strides, places, taken } = arrays;

  // The places in an input of what an element-wise operation reads; null where it reads them in order.
  function aligned(shape, made) {
    if (count(shape) === count(made)) return null;
    const far = strides(shape);
    const lead = made.length - shape.length;
    return places(made, made.map(function (_, axis) { return axis < lead || shape[axis - lead] === 1 ? 0 : far[axis - lead]; }));
  }

  // An operation element by element, of up to three inputs.
  function each(of) {
    return function (inputs, shapes, made, settings, kept) {
      if (!kept.tables) kept.tables = shapes.map(function (shape) { return aligned(shape, made); });
      const read = inputs.map(function (values, number) { return kept.tables[number] ? taken(values, kept.tables[number]) : values; });
      const found = new Float32Array(count(made));
      const a = read[0], b = read[1] || a, c = read[2] || a;
      for (let i = 0; i < found.length; i += 1) found[i] = of(a[i], b[i], c[i], settings);
      return found;
    };
  }

  // A copy in another order. steps(shape, made, settings): of `places`, and its start.
  function moved(steps) {
    return function (inputs, shapes, made, settings, kept) {
      if (!kept.table) {
        const found = steps(shapes[0], made, settings);
        kept.table = places(made, found.steps, found.start);
      }
      return taken(inputs[0], kept.table);
    };
  }

  // All elements along some axes become one. start: of the sum; joined(sum, value).
  function reduced(start, joined) {
    return function (inputs, shapes, made, settings, kept) {
      if (!kept.table) {
        const far = strides(made);
        let next = 0;
        kept.table = places(shapes[0], shapes[0].map(function (_, axis) {
          if (settings.axes.indexOf(axis) >= 0) return 0;
          next += 1;
          return far[next - 1];
        }));
      }
      const found = new Float64Array(count(made)).fill(start);
      for (let i = 0; i < kept.table.length; i += 1) found[kept.table[i]] = joined(found[kept.table[i]], inputs[0][i]);
      return Float32Array.from(found);
    };
  }

  // For each window the places of what lies in it, -1 in the padding; all windows one after another.
  function windows(shape, made, settings) {
    const inside = settings.window_dimensions;
    const far = strides(shape);
    const found = new Int32Array(count(made) * count(inside));
    const out = strides(made), within = strides(inside);
    for (let i = 0; i < found.length; i += 1) {
      const window = Math.floor(i / count(inside)), element = i % count(inside);
      let place = 0;
      shape.forEach(function (size, axis) {
        const at = Math.floor(window / out[axis]) % made[axis] * settings.window_strides[axis] - settings.padding[axis][0] +
          Math.floor(element / within[axis]) % inside[axis] * settings.window_dilation[axis];
        place = place < 0 || at < 0 || at >= size ? -1 : place + at * far[axis];
      });
      found[i] = place;
    }
    return found;
  }

  function overWindows(start, joined) {
    return function (inputs, shapes, made, settings, kept) {
      if (!kept.table) kept.table = windows(shapes[0], made, settings);
      const size = count(settings.window_dimensions);
      const found = new Float32Array(count(made));
      for (let window = 0; window < found.length; window += 1) {
        let sum = start;
        for (let i = window * size; i < (window + 1) * size; i += 1) if (kept.table[i] >= 0) sum = joined(sum, inputs[0][kept.table[i]]);
        found[window] = sum;
      }
      return found;
    };
  }

  // The gradient of the largest of each window: it goes to the first of the largest. inputs: gradient, what was read.
  function scattered(inputs, shapes, made, settings, kept) {
    if (!kept.table) kept.table = windows(shapes[1], shapes[0], settings);
    const size = count(settings.window_dimensions);
    const found = new Float32Array(count(made));
    for (let window = 0; window < inputs[0].length; window += 1) {
      let best = -1;
      for (let i = window * size; i < (window + 1) * size; i += 1) {
        const place = kept.table[i];
        if (place >= 0 && (best < 0 || inputs[1][place] > inputs[1][best])) best = place;
      }
      if (best >= 0) found[best] += inputs[0][window];
    }
    return found;
  }

  // Images NHWC, a kernel HWIO, and images NHWC again.
  function convolution(inputs, shapes, made, settings) {
    const images = inputs[0], kernel = inputs[1];
    const [, height, width, depth] = shapes[0];
    const [tall, wide, read, channels] = shapes[1];
    const own = channels / settings.feature_group_count;
    const found = new Float32Array(count(made));
    const sums = new Float64Array(channels);
    // The row or column of the images under an element of the kernel; -1 in the padding, or between dilated ones.
    function under(axis, out, element, size) {
      const at = out * settings.window_strides[axis] - settings.padding[axis][0] + element * settings.rhs_dilation[axis];
      return at % settings.lhs_dilation[axis] || at < 0 || at / settings.lhs_dilation[axis] >= size ? -1 : at / settings.lhs_dilation[axis];
    }
    for (let place = 0; place < made[0] * made[1] * made[2]; place += 1) {
      const image = Math.floor(place / (made[1] * made[2])), row = Math.floor(place / made[2]) % made[1], column = place % made[2];
      sums.fill(0);
      for (let y = 0; y < tall; y += 1) {
        const above = under(0, row, y, height);
        for (let x = 0; above >= 0 && x < wide; x += 1) {
          const beside = under(1, column, x, width);
          for (let input = 0; beside >= 0 && input < read; input += 1) {
            const from = ((image * height + above) * width + beside) * depth + input;
            const weights = ((y * wide + x) * read + input) * channels;
            for (let channel = 0; channel < channels; channel += 1) sums[channel] += images[from + Math.floor(channel / own) * read] * kernel[weights + channel];
          }
        }
      }
      found.set(sums, place * channels);
    }
    return found;
  }

  // A product over some axes: both as (batches, rows, sums), then each row of one with each of the other.
  function product(inputs, shapes, made, settings, kept) {
    const [summed, shared] = settings.dimension_numbers;
    function spread(side) {
      const shape = shapes[side], far = strides(shape);
      const free = shape.map(function (_, axis) { return axis; }).filter(function (axis) { return summed[side].indexOf(axis) < 0 && shared[side].indexOf(axis) < 0; });
      const order = shared[side].concat(free, summed[side]);
      const sizes = order.map(function (axis) { return shape[axis]; });
      const table = places(sizes, order.map(function (axis) { return far[axis]; }));
      return { table: table, rows: count(free.map(function (axis) { return shape[axis]; })), sums: count(summed[side].map(function (axis) { return shape[axis]; })) };
    }
    if (!kept.left) { kept.left = spread(0); kept.right = spread(1); }
    const left = taken(inputs[0], kept.left.table), right = taken(inputs[1], kept.right.table);
    const rows = kept.left.rows, columns = kept.right.rows, sums = kept.left.sums;
    const found = new Float32Array(count(made));
    for (let i = 0; i < found.length; i += 1) {
      const row = Math.floor(i / columns), batch = Math.floor(row / rows);
      const to = (batch * columns + i % columns) * sums;
      let sum = 0;
      for (let k = 0; k < sums; k += 1) sum += left[row * sums + k] * right[to + k];
      found[i] = sum;
    }
    return found;
  }

  // With numbers around it and between its elements; a negative edge is cut off.
  function padded(inputs, shapes, made, settings) {
    const found = new Float32Array(count(made)).fill(inputs[1][0]);
    const here = strides(shapes[0]), there = strides(made);
    inputs[0].forEach(function (value, number) {
      let place = 0;
      shapes[0].forEach(function (size, axis) {
        const at = Math.floor(number / here[axis]) % size * (settings.padding_config[axis][2] + 1) + settings.padding_config[axis][0];
        place = place < 0 || at < 0 || at >= made[axis] ? -1 : place + at * there[axis];
      });
      if (place >= 0) found[place] = value;
    });
    return found;
  }

  function joined(inputs, shapes, made, settings) {
    const found = new Float32Array(count(made));
    const far = strides(made);
    let before = 0;
    inputs.forEach(function (values, number) {
      const table = places(shapes[number], far, before * far[settings.dimension]);
      for (let i = 0; i < table.length; i += 1) found[table[i]] = values[i];
      before += shapes[number][settings.dimension];
    });
    return found;
  }

  // The place of the largest along an axis, of equals the first.
  function largestPlace(inputs, shapes, made, settings) {
    const axis = settings.axes[0], far = strides(shapes[0])[axis], size = shapes[0][axis];
    return Float32Array.from({ length: count(made) }, function (_, number) {
      const start = Math.floor(number / far) * far * size + number % far;
      let best = 0;
      for (let i = 1; i < size; i += 1) if (inputs[0][start + i * far] > inputs[0][start + best * far]) best = i;
      return best;
    });
  }

  function toEven(value) {
    const down = Math.floor(value);
    return value - down === 0.5 ? down + Math.abs(down % 2) : Math.round(value);
  }

  function larger(a, b) { return a > b || Number.isNaN(a) ? a : b; }
  function smaller(a, b) { return a < b || Number.isNaN(a) ? a : b; }

  return {
    abs: each(Math.abs),
    add: each(function (a, b) { return a + b; }),
    and: each(function (a, b) { return a && b; }),
    argmax: largestPlace,
    broadcast_in_dim: moved(function (shape, made, settings) {
      const far = strides(shape), steps = made.map(function () { return 0; });
      settings.broadcast_dimensions.forEach(function (axis, from) { if (shape[from] > 1) steps[axis] = far[from]; });
      return { steps: steps };
    }),
    ceil: each(Math.ceil),
    clamp: each(function (low, value, high) { return Math.min(Math.max(value, low), high); }),
    concatenate: joined,
    conv_general_dilated: convolution,
    convert_element_type: each(function (a, b, c, settings) { return settings.to === 'bool' ? Number(a !== 0) : settings.to === 'whole' ? Math.trunc(a) : a; }),
    div: each(function (a, b) { return a / b; }),
    dot_general: product,
    eq: each(function (a, b) { return Number(a === b); }),
    exp: each(Math.exp),
    expm1: each(Math.expm1),
    floor: each(Math.floor),
    ge: each(function (a, b) { return Number(a >= b); }),
    gt: each(function (a, b) { return Number(a > b); }),
    integer_pow: each(function (a, b, c, settings) { return a ** settings.y; }),
    le: each(function (a, b) { return Number(a <= b); }),
    log: each(Math.log),
    log1p: each(Math.log1p),
    logistic: each(function (a) { return 1 / (1 + Math.exp(-a)); }),
    lt: each(function (a, b) { return Number(a < b); }),
    max: each(larger),
    min: each(smaller),
    mul: each(function (a, b) { return a * b; }),
    ne: each(function (a, b) { return Number(a !== b); }),
    neg: each(function (a) { return -a; }),
    not: each(function (a) { return Number(!a); }),
    or: each(function (a, b) { return a || b; }),
    pad: padded,
    pow: each(Math.pow),
    reduce_max: reduced(-Infinity, larger),
    reduce_min: reduced(Infinity, smaller),
    reduce_sum: reduced(0, function (a, b) { return a + b; }),
    reduce_window_max: overWindows(-Infinity, larger),
    reduce_window_sum: overWindows(0, function (a, b) { return a + b; }),
    reshape: function (inputs) { return inputs[0]; },
    rev: moved(function (shape, made, settings) {
      const far = strides(shape);
      const start = settings.dimensions.reduce(function (sum, axis) { return sum + (shape[axis] - 1) * far[axis]; }, 0);
      return { steps: far.map(function (step, axis) { return settings.dimensions.indexOf(axis) >= 0 ? -step : step; }), start: start };
    }),
    round: each(function (a, b, c, settings) { return settings.even ? toEven(a) : Math.sign(a) * Math.floor(Math.abs(a) + 0.5); }),
    rsqrt: each(function (a) { return 1 / Math.sqrt(a); }),
    select_and_scatter_add: scattered,
    select_n: each(function (which, a, b) { return which ? b : a; }),
    sign: each(Math.sign),
    slice: moved(function (shape, made, settings) {
      const far = strides(shape);
      const start = settings.start_indices.reduce(function (sum, at, axis) { return sum + at * far[axis]; }, 0);
      return { steps: far.map(function (step, axis) { return step * (settings.strides ? settings.strides[axis] : 1); }), start: start };
    }),
    sqrt: each(Math.sqrt),
    square: each(function (a) { return a * a; }),
    sub: each(function (a, b) { return a - b; }),
    tanh: each(Math.tanh),
    transpose: moved(function (shape, made, settings) {
      const far = strides(shape);
      return { steps: settings.permutation.map(function (axis) { return far[axis]; }) };
    }),
  };
})();
