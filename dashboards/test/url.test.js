// The address of a view leads back to the same view.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { formatUrl, parseUrl } from '../web/url.js';

const back = (view) => {
  const url = new URL(formatUrl(view), 'http://h');
  return parseUrl(url.pathname, url.search);
};

test('an empty address is everything of the last hour', () => {
  assert.deepEqual(parseUrl('/', ''), { query: '', from: 'now-1h', to: '', utc: false, live: false, event: '' });
  assert.equal(formatUrl(parseUrl('/', '')), '/');
});

test('what is as always is left out of the address', () => {
  assert.equal(formatUrl({ query: 'a', from: 'now-1h', to: '', utc: false, live: false, event: '' }), '/?q=a');
});

test('every view survives its address', () => {
  const hostile = ['', 'a b&c=d#e', 'x | stats count by path', '"é\u202e"', '%41+%zz', '\u{1f600}', 'a\nb'];
  for (const query of hostile) {
    for (const from of ['now-1h', 'now-7d', '2026-11-20T09:13:36.536Z']) {
      for (const utc of [true, false]) {
        const view = { query, from, to: utc ? '2026-11-20T10:00:00Z' : '', utc, live: !utc, event: '' };
        assert.deepEqual(back(view), view);
      }
    }
  }
});

test('a permalink names its event, and nothing else is one', () => {
  const id = '40000000000000000000000001';
  assert.equal(parseUrl(`/e/${id}`, '').event, id);
  assert.equal(parseUrl(`/e/${id.toLowerCase()}/`, '').event, id);
  assert.equal(formatUrl({ ...parseUrl(`/e/${id}`, '?tz=utc') }), `/e/${id}?tz=utc`);
  for (const path of ['/e/', '/e/short', `/e/${id}x`, `/x/${id}`]) assert.equal(parseUrl(path, '').event, '', path);
});
