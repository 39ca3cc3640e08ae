// What a click does to the text of a query.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { filterPart, replaceAt, searchedWords, term, withTerm } from '../web/query.js';

test('a value becomes a term that finds exactly it', () => {
  for (const [field, value, want] of [
    ['status', 502, 'status=502'],
    ['path', '/api/cart', 'path=/api/cart'],
    ['message', 'a "b" \\c', 'message="a \\"b\\" \\\\c"'],
    ['host', '-x', 'host="-x"'],
    ['odd name', 'v', '`odd name`=v'],
    ['x', '', 'x=""'],
    ['x', 'a*b', 'x="a*b"'],
    ['q', 'a|b', 'q="a|b"'],
  ]) assert.equal(term(field, value), want);
});

test('the filter ends at the first pipe that is one', () => {
  for (const [query, want] of [
    ['a b | stats count', 'a b'],
    ['a || b | count', 'a || b'],
    ['path:"x|y" | count', 'path:"x|y"'],
    ["'it\\'s | here'", "'it\\'s | here'"],
    ['`a|b`:1', '`a|b`:1'],
    ['| count', ''],
  ]) assert.equal(filterPart(query), want);
});

test('include and exclude narrow the filter and keep the pipes', () => {
  for (const [query, exclude, want] of [
    ['', false, 'level=error'],
    ['*', false, 'level=error'],
    ['timeout', true, 'timeout -level=error'],
    ['timeout | top 5 path', false, 'timeout level=error | top 5 path'],
    ['a OR b', false, '(a OR b) level=error'],
    ['(a OR b)', false, '(a OR b) level=error'],
    ['(a) OR (b)', false, '((a) OR (b)) level=error'],
    ['level=error x', false, 'level=error x'],
    ['-level=error x', false, 'level=error x'],
    ['x level=error', true, 'x -level=error'],
  ]) assert.equal(withTerm(query, 'level', 'error', exclude), want, query);
});

test('a suggestion takes the place of what was mistyped, and of nothing else', () => {
  assert.equal(replaceAt('a statuss:5', 3, 'statuss', 'status'), 'a status:5');
  assert.equal(replaceAt('\u{1f600} statuss:5', 3, 'statuss', 'status'), '\u{1f600} status:5');
  assert.equal(replaceAt('already changed', 3, 'statuss', 'status'), 'already changed');
});

test('only what is searched in the message is marked', () => {
  for (const [query, want] of [
    ['timeout level>=error service:api', ['timeout']],
    ['"Connection Reset" OR time -debug NOT health', ['connection reset', 'time']],
    ['message:"a b" path:"/x" fail* | stats count', ['fail', 'a b']],
    ['(x AND y) -"not this"', ['x', 'y']],
    ['', []],
  ]) assert.deepEqual(searchedWords(query).sort(), want.sort(), query);
});
