'use strict';
// The numbers of two runs on the same images: differences with their intervals, and which units go together.

const pairs = {
  // Places of the rows that both have: [[place in one, place in the other], ..].
  common: function (one, other) {
    const places = new Map(other.map(function (row, place) { return [row, place]; }));
    return one.map(function (row, place) { return [place, places.get(row)]; }).filter(function (pair) { return pair[1] !== undefined; });
  },

  // The difference of two shares of right answers on the same images, the other's less the one's, with its 95 %
  // interval (Agresti and Min 2005), as `statistics.paired` has it.
  difference: function (gained, lost, images) {
    const more = gained + 0.5, less = lost + 0.5, count = images + 2, middle = (more - less) / count;
    const reach = 1.959964 * Math.sqrt(more + less - (more - less) ** 2 / count) / count;
    return { value: (gained - lost) / images, low: Math.max(-1, middle - reach), high: Math.min(1, middle + reach) };
  },

  // For all images, and for each class that has some: how many are right in each run, and the difference.
  classes: function (one, other, images) {
    const groups = new Map([[null, []]]);
    images.forEach(function (pair) {
      const label = one.labels[pair[0]];
      if (!groups.has(label)) groups.set(label, []);
      groups.get(label).push(pair);
      groups.get(null).push(pair);
    });
    return Array.from(groups.keys()).sort(function (a, b) { return (a === null ? -1 : a) - (b === null ? -1 : b); }).map(function (label) {
      const own = groups.get(label).map(function (pair) {
        return [one.right[pair[0]], other.right[pair[1]]];
      });
      function count(first, second) { return own.filter(function (right) { return right[0] === first && right[1] === second; }).length; }
      const both = count(true, true), gained = count(false, true), lost = count(true, false);
      return Object.assign({ label: label, images: own.length, one: both + lost, other: both + gained, gained: gained, lost: lost }, pairs.difference(gained, lost, own.length));
    });
  },

  // The values of a unit on the common images, with mean 0 and length 1; all 0 for one that never changes.
  unit: function (packed, number, places) {
    const wide = packed.shape[1], bytes = paint.bytes(packed);
    const values = places.map(function (place) { return paint.value(packed, bytes[number * wide + place]); });
    const mean = values.reduce(function (sum, value) { return sum + value; }, 0) / values.length;
    const centred = values.map(function (value) { return value - mean; });
    const length = Math.sqrt(centred.reduce(function (sum, value) { return sum + value * value; }, 0));
    return centred.map(function (value) { return length > 1e-9 ? value / length : 0; });
  },

  // Pairs of units from the highest correlation of their activations downwards, each unit once:
  // [{one, other, correlation}, ..] in the order of the one run's units.
  match: function (one, other, images) {
    const sides = [[one, 0], [other, 1]].map(function (side) {
      const places = images.map(function (pair) { return pair[side[1]]; });
      return Array.from({ length: side[0].shape[0] }, function (_, number) { return pairs.unit(side[0], number, places); });
    });
    const all = sides[0].flatMap(function (values, first) {
      return sides[1].map(function (others, second) {
        return { one: first, other: second, correlation: values.reduce(function (sum, value, place) { return sum + value * others[place]; }, 0) };
      });
    });
    const taken = [new Set(), new Set()];
    all.sort(function (a, b) { return b.correlation - a.correlation || a.one - b.one || a.other - b.other; });
    return all.filter(function (pair) {
      if (taken[0].has(pair.one) || taken[1].has(pair.other)) return false;
      taken[0].add(pair.one);
      taken[1].add(pair.other);
      return true;
    }).sort(function (a, b) { return a.one - b.one; });
  },
};
