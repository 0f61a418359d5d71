/*
 * The delivery page's two conveniences.  It only hides and shows what is there:
 * nothing is fetched, and no text becomes markup.
 */
(function () {
  'use strict';
  var form = document.getElementById('search');
  var field = document.getElementById('field');
  var found = document.getElementById('found');
  var stale = document.getElementById('stale');
  var rows = Array.prototype.slice.call(document.querySelectorAll('tr.row'));
  var folds = Array.prototype.slice.call(document.querySelectorAll('#failures > .more, #deliveries > .more'));
  var made = Number(document.body.getAttribute('data-made'));

  function search() {
    var wanted = field.value.trim().toLowerCase();
    var hits = 0;

    rows.forEach(function (row) {
      var hit = row.querySelector('td.id').textContent.toLowerCase().indexOf(wanted) >= 0;

      row.hidden = !hit;
      hits += hit ? 1 : 0;
    });
    folds.forEach(function (fold) { fold.open = wanted !== ''; });
    found.textContent = wanted === '' ? '' : hits + ' of ' + rows.length + ' rows on this page';
  }

  function age() {
    var minutes = Math.floor((Date.now() / 1000 - made) / 60);

    stale.hidden = minutes < 10;
    stale.textContent = 'This page is ' +
      (minutes < 120 ? minutes + ' minutes' : Math.floor(minutes / 60) + ' hours') +
      ' old: things may have changed since.';
  }

  if (form) {
    form.addEventListener('submit', function (event) { event.preventDefault(); });
    field.addEventListener('input', search);
    if (rows.length > 0) form.hidden = false;
    if (field.value !== '') search();
  }
  age();
  setInterval(age, 30000);
}());
