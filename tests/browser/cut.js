'use strict';
// The texts of charts that stand beyond the edge of their chart.
function cutTexts() {
  return Array.from(document.querySelectorAll('svg text')).filter(function (text) {
    const own = text.getBoundingClientRect(), chart = text.ownerSVGElement.getBoundingClientRect();
    return own.left < chart.left - 1 || own.right > chart.right + 1 || own.bottom > chart.bottom + 1;
  }).map(function (text) { return text.textContent; });
}
