'use strict';
// A traced program, run step by step: only what is asked for, and what is the same for all images only once.

const programs = {
  // A program of the data scripts, ready to run.
  open: function (packed) {
    const known = {};
    Object.keys(packed.constants).forEach(function (number) { known[number] = programs.floats(packed.constants[number]); });
    const makers = {};
    packed.steps.forEach(function (step) { makers[step[2]] = { step: step, kept: {} }; });
    return { packed: packed, known: known, makers: makers };
  },

  // float32 from text, the lowest byte first.
  floats: function (text) {
    const bytes = Uint8Array.from(atob(text), function (letter) { return letter.charCodeAt(0); });
    const view = new DataView(bytes.buffer);
    return Float32Array.from({ length: bytes.length / 4 }, function (_, place) { return view.getFloat32(4 * place, true); });
  },

  // Arrays by number, or by the name of an output, for these inputs; each is computed when it is asked for.
  run: function (program, inputs) {
    const made = {};
    program.packed.inputs.forEach(function (number, place) { if (number !== null) made[number] = inputs[place]; });

    function read(number) {
      if (number in program.known) return program.known[number];
      if (!(number in made)) compute(number);
      return number in made ? made[number] : program.known[number];
    }

    function compute(number) {
      const maker = program.makers[number];
      const [name, from, , settings, fixed] = maker.step;
      const values = from.map(function (one) { return Array.isArray(one) ? Float32Array.of(Number(one[0])) : read(one); });
      const shapes = from.map(function (one) { return Array.isArray(one) ? [] : program.packed.shapes[one]; });
      (fixed ? program.known : made)[number] = operations[name](values, shapes, program.packed.shapes[number], settings, maker.kept);
    }

    return {
      read: read,
      output: function (name) { return read(program.packed.outputs[name]); },
      shape: function (name) { return program.packed.shapes[program.packed.outputs[name]]; },
    };
  },
};
