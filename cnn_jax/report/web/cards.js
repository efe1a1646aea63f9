'use strict';
// What stands behind each "?": how a picture is made, what it cannot tell, and the test that guards it.

// A heading with its card. card: its name; null for a heading without one.
function titled(words, card) {
  const text = CNN_JAX.data.run.cards[card];
  const heading = make('h3', {}, words);
  if (!text) return heading;
  const rows = [['How', text.formula], ['Settings', text.settings], ['It cannot tell', text.cannot], ['Guarded by', make('code', {}, text.test)]];
  const list = make('dl', {}, rows.flatMap(function (row) { return [make('dt', {}, row[0]), make('dd', {}, row[1])]; }));
  return make('div', { class: 'titled' }, heading, make('details', { class: 'card-of' }, make('summary', { 'aria-label': 'About: ' + text.title, title: 'About: ' + text.title }, '?'), list));
}
