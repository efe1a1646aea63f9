// Sorts the table of runs by the column whose head is pressed; pressed again, the other way round.
'use strict';
document.querySelectorAll('table.runs').forEach(function (table) {
  const body = table.tBodies[0];
  const heads = Array.from(table.tHead.rows[0].cells);

  function keyOf(row, column) {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
  }

  function compare(one, other) {
    // Rows without a number, as of runs that were not evaluated, come last.
    if (typeof one !== typeof other) return typeof one === 'number' ? -1 : 1;
    if (typeof one === 'number') return one - other;
    return one.localeCompare(other, undefined, { numeric: true });
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
        const found = compare(keyOf(one, column), keyOf(other, column));
        return down ? -found : found;
      });
      rows.forEach(function (row) { body.appendChild(row); });
    });
  });
});
