'use strict';
// What the views share: the data of the scripts, the state in the address, and elements made of text alone.

const CNN_JAX = {
  data: {},
  waiting: {},
  views: {},

  // Called by the data scripts.
  put: function (name, values) {
    CNN_JAX.data[name] = values;
    (CNN_JAX.waiting[name] || []).forEach(function (then) { then(); });
    delete CNN_JAX.waiting[name];
  },

  // Calls `then` when all of these scripts are there; what is missing is said in the page.
  need: function (names, then) {
    const missing = names.filter(function (name) { return !(name in CNN_JAX.data); });
    if (!missing.length) return then();
    let count = missing.length;
    missing.forEach(function (name) {
      const arrived = function () { count -= 1; if (!count) then(); };
      CNN_JAX.waiting[name] = (CNN_JAX.waiting[name] || []).concat(arrived);
      if (CNN_JAX.waiting[name].length > 1) return;
      const script = document.createElement('script');
      script.src = 'data/' + name + '.js';
      script.onerror = function () { CNN_JAX.tell('data/' + name + '.js is missing: write the page again with --mode=report.'); };
      document.head.appendChild(script);
    });
  },

  // The names of the scripts of all layers.
  layerScripts: function () {
    return CNN_JAX.data.run.layers.map(function (layer, number) { return 'layer_' + number; });
  },

  layer: function (number) { return CNN_JAX.data['layer_' + number]; },

  // What was made for the units of a layer, in a script of its own: the first view does without it.
  made: function (layer) { return CNN_JAX.data['made_' + layer.number] || {}; },

  // The number of a layer by its name; -1 for one that is not there.
  layerNumber: function (name) {
    return CNN_JAX.data.run.layers.findIndex(function (layer) { return layer.name === name; });
  },

  // The place among the chosen images of the one that the state names, else of the first.
  chosenPlace: function () {
    const images = CNN_JAX.data.images;
    const row = Number(CNN_JAX.state().image);
    const found = images.chosen.findIndex(function (place) { return images.all[place].row === row; });
    return Math.max(found, 0);
  },

  // The state of the view, from the address.
  state: function () {
    return Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  },

  // The address of a view: the state with changes; null takes a part out.
  link: function (changes, from) {
    const state = Object.assign({}, from || CNN_JAX.state(), changes);
    const parts = Object.keys(state).filter(function (key) { return state[key] !== null && state[key] !== undefined; });
    return '#' + parts.map(function (key) { return key + '=' + encodeURIComponent(state[key]); }).join('&');
  },

  // Another state of the view that is there already, which is not drawn again.
  remember: function (changes) { history.replaceState(null, '', CNN_JAX.link(changes)); },

  // What stays when another layer or image is looked at.
  kept: function () {
    const state = CNN_JAX.state();
    const found = {};
    ['lens', 'sort', 'scale', 'image', 'step'].forEach(function (key) { if (state[key]) found[key] = state[key]; });
    return found;
  },

  className: function (number) { return CNN_JAX.data.run.classes[number]; },

  // An image in words: its number, what is right, and what the net says where that is something else.
  words: function (image) {
    const said = image.answer && image.right !== true && image.answer !== image.truth ? ', ' + (image.right === false ? 'taken for ' : 'the net: ') + image.answer : '';
    return 'image ' + image.row + (image.truth ? ', ' + image.truth : '') + said;
  },

  tell: function (text) {
    const place = document.getElementById('microscope');
    place.hidden = false;
    place.appendChild(make('p', { class: 'note', role: 'alert' }, text));
  },
};

// An element with attributes and children; texts become text, never HTML.
function make(tag, attributes, ...children) {
  const svg = ['svg', 'path', 'line', 'text', 'rect', 'title', 'g'].indexOf(tag) >= 0;
  const element = svg ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag);
  Object.keys(attributes || {}).forEach(function (key) {
    const value = attributes[key];
    if (value === null || value === undefined || value === false) return;
    if (key.slice(0, 2) === 'on') element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? '' : value);
  });
  children.flat().forEach(function (child) {
    if (child !== null && child !== undefined) element.append(child);
  });
  return element;
}

// A number in three digits that count.
function short(value) {
  if (value === null || value === undefined) return '-';
  return String(Number(value.toPrecision(3))).replace('-', '\u2212');
}

// The same in few letters, however small or large it is.
function brief(value) {
  return value && (Math.abs(value) < 0.001 || Math.abs(value) >= 1e5) ? value.toExponential(1).replace('e+', 'e').replaceAll('-', '\u2212') : short(value);
}

function percent(share) { return (100 * share).toFixed(share > 0.995 && share < 1 ? 2 : 1) + ' %'; }

// A choice among names; `chosen(key)` hears of another one. entries: [key, words].
function choice(words, entries, now, chosen) {
  const select = make('select', { onchange: function () { chosen(select.value); } });
  entries.forEach(function (entry) {
    select.append(make('option', { value: entry[0], selected: entry[0] === now }, entry[1]));
  });
  return make('label', { class: 'choice' }, make('span', {}, words), select);
}

function go(changes, from) { location.hash = CNN_JAX.link(changes, from); }
