// Hostile text is shown, never obeyed.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { cell, chipLabel, count, linked, marked, pieces, short } from '../web/text.js';

const shown = (text, breaks) => pieces(text, breaks).map((piece) => (piece.chip ? `[${piece.text}]` : piece.text)).join('');

test('what acts on the display becomes a chip', () => {
  assert.equal(shown('a\u001b[31mb\u202ec\u2066d\u200be\u0000f'), 'a[ESC][31mb[U+202E]c[U+2066]d[U+200B]e[NUL]f');
  assert.equal(shown('line\nnext\ttab'), 'line[LF]next[TAB]tab');
  assert.equal(shown('line\nnext\ttab\r', true), 'line\nnext\ttab[CR]');
  assert.equal(shown('tags \u{e0041}\u{e007f}'), 'tags [U+E0041][U+E007F]');
});

test('every character is either shown or a chip, and none is lost', () => {
  for (let code = 0; code < 0x3000; code += 1) {
    const char = String.fromCodePoint(code);
    const [piece] = pieces(char);
    assert.equal(piece.text, piece.chip ? chipLabel(char) : char);
  }
  assert.equal(shown('<img src=x onerror=alert(1)> é 日本 \u{1f600}'), '<img src=x onerror=alert(1)> é 日本 \u{1f600}');
  assert.equal(pieces('\ud800').length, 1);
});

test('marks are found in any case and put back together they are the text', () => {
  const parts = marked('Timeout: no time, İTIME', ['timeout', 'time']);
  assert.equal(parts.map(({ text }) => text).join(''), 'Timeout: no time, İTIME');
  assert.deepEqual(parts.filter(({ hit }) => hit).map(({ text }) => text), ['Timeout', 'time', 'TIME']);
});

test('only http and https are links', () => {
  const of = (text) => linked(text).filter(({ href }) => href).map(({ href }) => href);
  assert.deepEqual(of('see https://a.example/x?y=1, and (http://b.example).'), ['https://a.example/x?y=1', 'http://b.example']);
  assert.deepEqual(of('javascript:alert(1) data:text/html,x file:///etc/passwd xhttps://no'), []);
  assert.equal(linked('a https://b.example/ c').map(({ text }) => text).join(''), 'a https://b.example/ c');
});

test('numbers are short and exact enough', () => {
  assert.deepEqual([0, 999, 1234, 5_600_000, 2e9].map(short), ['0', '999', '1.23k', '5.6M', '2G']);
  assert.equal(count(1234567), '1\u202f234\u202f567');
  assert.deepEqual([null, 3, 1.23456789, 'x', [1]].map(cell), ['', '3', '1.23457', 'x', '[1]']);
});
