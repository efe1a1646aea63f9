'use strict';
// Presses each box of the list of runs, and tells where its link then leads.
(function () {
  const boxes = Array.from(document.querySelectorAll('input[type=checkbox]')), place = document.createElement('pre');
  const found = { values: boxes.map(function (box) { return box.value; }) };
  found.links = boxes.map(function (box) {
    box.click();
    return document.querySelector('a.compare').getAttribute('href');
  });
  found.left = boxes.map(function (box) { return box.checked; });
  place.id = 'probe';
  place.textContent = JSON.stringify(found);
  document.body.append(place);
})();
