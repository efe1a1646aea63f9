// Sorts the table of runs by the column whose head is pressed; pressed again, the other way round.
'use strict';
document.querySelectorAll('table.runs').forEach(function (table) {
  const body = table.tBodies[0];
  const heads = Array.from(table.tHead.rows[0].cells);

  function keyOf(row, column) {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
  }

  function compare(one, other, turn) {
    // Rows without a number, as of runs that were not evaluated, come last either way.
    if (typeof one !== typeof other) return typeof one === 'number' ? -1 : 1;
    return turn * (typeof one === 'number' ? one - other : one.localeCompare(other, undefined, { numeric: true }));
  }

  heads.forEach(function (head, column) {
    const button = head.querySelector('button');
    if (!button) return;
    button.addEventListener('click', function () {
      const down = head.getAttribute('aria-sort') === 'ascending';
      heads.forEach(function (other) { other.removeAttribute('aria-sort'); });
      head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      const rows = Array.from(body.rows);
      rows.sort(function (one, other) {
        return compare(keyOf(one, column), keyOf(other, column), down ? -1 : 1);
      });
      rows.forEach(function (row) { body.appendChild(row); });
    });
  });
});
