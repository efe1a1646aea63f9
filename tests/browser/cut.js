'use strict';
// The texts of charts that stand beyond the edge of their chart.
function cutTexts() {
  return Array.from(document.querySelectorAll('svg text')).filter(function (text) {
    const own = text.getBoundingClientRect(), chart = text.ownerSVGElement.getBoundingClientRect();
    return own.left < chart.left - 1 || own.right > chart.right + 1 || own.bottom > chart.bottom + 1;
  }).map(function (text) { return text.textContent; });
}

// The headings of cards that hold nothing else.
function emptyFigures() {
  return Array.from(document.querySelectorAll('#microscope figure')).filter(function (card) {
    const rest = Array.from(card.children).filter(function (one) { return !one.matches('h3, .titled'); });
    return !rest.some(function (one) { return one.textContent.trim() || one.matches('img, canvas, svg, [role=img]') || one.querySelector('img, canvas, svg, [role=img]'); });
  }).map(function (card) { return card.textContent; });
}
