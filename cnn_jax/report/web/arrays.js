'use strict';
// Arrays as numbers in rows: their sizes, and where an element stands.

const arrays = (function () {
  function count(shape) { return shape.reduce(function (product, size) { return product * size; }, 1); }

  // How far apart neighbours along each axis are.
  function strides(shape) {
    const found = new Array(shape.length);
    let far = 1;
    for (let axis = shape.length - 1; axis >= 0; axis -= 1) { found[axis] = far; far *= shape[axis]; }
    return found;
  }

  // For each element of an array of that shape a place in another: from `start` by a step along each axis.
  function places(shape, steps, start) {
    let found = Int32Array.of(start || 0);
    shape.forEach(function (size, axis) {
      const next = new Int32Array(found.length * size);
      for (let i = 0; i < found.length; i += 1) for (let j = 0; j < size; j += 1) next[i * size + j] = found[i] + j * steps[axis];
      found = next;
    });
    return found;
  }

  // The numbers at some places.
  function taken(values, table) {
    const found = new Float32Array(table.length);
    for (let i = 0; i < table.length; i += 1) found[i] = values[table[i]];
    return found;
  }

  return { count: count, strides: strides, places: places, taken: taken };
})();
