'use strict';
// In the list of runs: two that are chosen, which the link above the table then leads to.
document.querySelectorAll('a.compare').forEach(function (link) {
  const boxes = Array.from(document.querySelectorAll('table.runs input[type=checkbox]'));
  let chosen = [];

  function update(box) {
    chosen = chosen.filter(function (other) { return other !== box; });
    if (box.checked) chosen.push(box);
    chosen.splice(0, chosen.length - 2).forEach(function (other) { other.checked = false; });
    const names = chosen.map(function (other, place) { return ['one=', 'other='][place] + encodeURIComponent(other.value); });
    link.setAttribute('href', 'compare.html' + (names.length ? '#' + names.join('&') : ''));
  }

  boxes.forEach(function (box) { box.addEventListener('change', function () { update(box); }); });
});
