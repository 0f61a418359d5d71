/*
 * The delivery page's three conveniences: the search, its age, and the reader's own
 * time beside UTC.  Nothing is fetched, and no text becomes markup.
 */
(function () {
  'use strict';
  var form = document.getElementById('search');
  var field = document.getElementById('field');
  var found = document.getElementById('found');
  var stale = document.getElementById('stale');
  var rows = Array.prototype.slice.call(document.querySelectorAll('tr.row'));
  var folds = Array.prototype.slice.call(document.querySelectorAll('section > details')).filter(function (fold) {
    return fold.parentNode.querySelector('tr.row') !== null;
  });
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

  function two(number) {
    return (number < 10 ? '0' : '') + number;
  }

  /* Beside a time that is another here: the clock, and the date where that differs, too. */
  function local(time) {
    var at = new Date(time.getAttribute('datetime'));
    var here = document.createElement('span');
    var day = at.getFullYear() + '-' + two(at.getMonth() + 1) + '-' + two(at.getDate());

    if (isNaN(at.getTime()) || at.getTimezoneOffset() === 0) return;
    here.className = 'local';
    here.textContent = ' ' + (day === time.getAttribute('datetime').slice(0, 10) ? '' : day + ' ') +
      two(at.getHours()) + ':' + two(at.getMinutes()) + ':' + two(at.getSeconds()) + ' local';
    time.parentNode.insertBefore(here, time.nextSibling);
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
  Array.prototype.forEach.call(document.querySelectorAll('time'), local);
  age();
  setInterval(age, 30000);
}());
