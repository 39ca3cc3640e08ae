// The numbers of the histogram.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { bucketRange, bucketStarts, countIn, levelSeries, stacked } from '../web/bars.js';

const HITS = {
  from: '2026-11-20T09:00:00Z',
  to: '2026-11-20T09:03:00Z',
  width_ms: 60_000,
  total: 12,
  series: { info: [3, 4, 0], '': [0, 0, 1], error: [0, 2, 2], debug: [0, 0, 0], audit: [1, 0, 0] },
};

test('errors are at the base, unknown levels at the top, empty series are left out', () => {
  assert.deepEqual(levelSeries(HITS).map(({ level, total }) => [level, total]), [['error', 4], ['info', 7], ['', 1], ['audit', 1]]);
  assert.deepEqual(levelSeries(null), []);
});

test('sums run up to the whole', () => {
  assert.deepEqual(stacked(levelSeries(HITS), 3), [[0, 2, 2], [3, 6, 2], [3, 6, 3], [4, 6, 3]]);
});

test('buckets are ranges of time', () => {
  assert.deepEqual(bucketStarts(HITS), [0, 60, 120].map((s) => Date.parse(HITS.from) / 1000 + s));
  assert.deepEqual(bucketStarts({ ...HITS, series: {} }).length, 3);
  const want = { from: '2026-11-20T09:01:00.000Z', to: '2026-11-20T09:03:00.000Z' };
  assert.deepEqual(bucketRange(HITS, 1, 2), want);
  assert.deepEqual(bucketRange(HITS, 2, 1), want);
  assert.equal(countIn(levelSeries(HITS), 2, 1), 9);
});
