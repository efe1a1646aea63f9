'use strict';
// Tells what the page of two runs has computed and shows.
function told() {
  const root = document.documentElement, page = document.getElementById('microscope');
  const found = {
    text: page.innerText,
    width: window.innerWidth,
    overflow: root.scrollWidth - root.clientWidth,
    sideways: Array.from(document.querySelectorAll('.scroll')).filter(function (one) { return one.scrollWidth > one.clientWidth; }).length,
    cut: cutTexts(),
    unnamed: page.querySelectorAll('img:not([alt]), canvas:not([aria-label])').length,
    chosen: Array.from(page.querySelectorAll('select'), function (select) { return select.value; }),
    tiles: Array.from(page.querySelectorAll('.couples .tile'), function (tile) { return tile.title; }),
  };
  const stores = compare.chosen().map(function (run) { return compare.stores[run.base] || {}; });
  if (stores[0].space && stores[1].space) {
    const rows = stores.map(function (store) { return store.space.rows; });
    const means = stores.map(function (store) { return store.matching.means.conv3; });
    found.classes = pairs.classes(stores[0].space, stores[1].space, pairs.common(rows[0], rows[1]));
    found.match = pairs.match(means[0], means[1], pairs.common(rows[0], rows[1]));
  }
  window.parent.postMessage(JSON.stringify(found), '*');
}
setTimeout(told, 1200);
