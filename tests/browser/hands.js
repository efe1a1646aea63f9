'use strict';
// Does on the pages Space and Training what hands do, and leaves what came of it in `acts`.
const acts = {};

function press(target, key) {
  target.dispatchEvent(new KeyboardEvent('keydown', { key: key, bubbles: true, cancelable: true }));
}

function point(target, kind, x, y) {
  const box = target.getBoundingClientRect();
  const at = { clientX: box.left + x, clientY: box.top + y, pointerId: 1, bubbles: true, cancelable: true };
  target.dispatchEvent(new PointerEvent(kind, at));
}

function drag(target, places) {
  point(target, 'pointerdown', places[0][0], places[0][1]);
  places.slice(1).forEach(function (to) { point(target, 'pointermove', to[0], to[1]); });
  point(target, 'pointerup', places[places.length - 1][0], places[places.length - 1][1]);
}

function numbersOf(packed, places) {
  return Array.from(paint.picture(packed, places).bytes, function (byte) { return paint.value(packed, byte); });
}

// The places of numbers for which something holds.
function where(list, holds) {
  return list.map(function (one, place) { return holds(one) ? place : -1; }).filter(function (place) { return place >= 0; });
}

function lookAt(plot, canvas) {
  acts.points = plot.points;
  acts.whole = scatter.view(plot);
  acts.only = plot.only;
  acts.first = plot.chosen;
  acts.shown = where(plot.points, function (one) {
    const x = scatter.across(plot, one), y = scatter.down(plot, one);
    return x > 0 && y > 0 && x < canvas.clientWidth && y < canvas.clientHeight;
  }).length;
  const drawn = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  acts.inked = drawn.filter(function (value, place) { return place % 4 === 0 && Math.abs(value - drawn[0]) > 30; }).length;
}

function choose(plot, canvas) {
  drag(canvas, [[scatter.across(plot, plot.points[7]), scatter.down(plot, plot.points[7])]]);
  acts.clicked = plot.chosen;
  acts.address = location.hash;
  acts.rings = plot.rings.map(function (one) { return one[0]; });
  acts.told = document.querySelector('.nearest').innerText;
  press(canvas, 'ArrowRight');
  acts.right = plot.chosen;
  press(canvas, 'Escape');
  acts.escaped = plot.chosen;
}

function move(plot, canvas) {
  press(canvas, '+');
  acts.zoomed = plot.scale / plot.whole;
  acts.view = CNN_JAX.state().view;
  const before = scatter.across(plot, plot.points[3]);
  drag(canvas, [[10, 10], [40, 10]]);
  acts.dragged = scatter.across(plot, plot.points[3]) - before;
  press(canvas, '0');
}

function circle(plot, canvas) {
  const buttons = Array.from(document.querySelectorAll('#microscope button'));
  buttons.find(function (one) { return one.textContent === 'Lasso'; }).click();
  const half = canvas.clientWidth / 2, high = canvas.clientHeight;
  drag(canvas, [[0, 0], [half, 0], [half, high], [0, high]]);
  acts.circled = Array.from(plot.circled);
  acts.left = where(plot.points, function (one) { return scatter.across(plot, one) < half; });
  acts.group = document.querySelector('.group').innerText;
  acts.thumbnails = document.querySelectorAll('.group .thumbnail').length;
}

// The images of the classes as they are drawn.
function classImages() {
  return Array.from(document.querySelectorAll('.of-classes canvas'), function (canvas) {
    const drawn = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    return { words: canvas.getAttribute('aria-label'), red: Array.from(drawn).filter(function (_, place) { return place % 4 === 0; }) };
  });
}

function slide(view) {
  acts.classes = [classImages()];
  const input = document.querySelector('input[type=range]');
  acts.steps = CNN_JAX.steps.list();
  acts.at = view.at;
  acts.filters = [0, 1, 2].map(function (at) { return numbersOf(view.data.filters, [at, 2, 0]); });
  acts.maps = numbersOf(view.data.maps[2], [1, 0, 3]);
  input.value = 0;
  input.dispatchEvent(new Event('input'));
  acts.moved = [view.at, location.hash, document.querySelector('output').textContent];
  acts.classes.push(classImages());
  press(document, 'ArrowRight');
  acts.pressed = [view.at, input.value, input.getAttribute('aria-valuetext')];
  acts.births = Array.from(document.querySelectorAll('a.birth'), function (one) { return one.title; });
}

setTimeout(function () {
  const shown = document.getElementById('microscope').dataset.view, canvas = document.querySelector('canvas.scatter');
  const plot = CNN_JAX.views.space.plot;
  if (shown === 'space' && plot.form === 'points') [lookAt, choose, move, circle].forEach(function (act) { act(plot, canvas); });
  if (shown === 'training' && CNN_JAX.views.training.view) slide(CNN_JAX.views.training.view);
}, 500);
