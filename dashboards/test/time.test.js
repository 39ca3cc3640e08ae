// Ranges and times as people read and write them.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ago, axisTime, rangeLabel, readTime, rowTime, stamp, toMs, width, zoneLabel } from '../web/time.js';

const NOW = Date.parse('2026-11-20T12:00:00Z');

test('relative and absolute times are read', () => {
  for (const [text, want] of [
    ['', NOW], ['now', NOW], ['now-1h', NOW - 36e5], ['now-1h30m', NOW - 54e5], ['now-250ms', NOW - 250],
    ['2026-11-20T09:00:00Z', Date.parse('2026-11-20T09:00:00Z')], ['1763630016', 1763630016000], ['1763630016536', 1763630016536],
  ]) assert.equal(toMs(text, NOW), want, text);
  for (const text of ['yesterday', 'now-', 'now-5', 'now-1x', '12']) assert.ok(Number.isNaN(toMs(text, NOW)), text);
});

test('what is typed without a zone is in the zone of the page', () => {
  assert.deepEqual(readTime('2026-11-20 09:13', true), { value: '2026-11-20T09:13:00.000Z' });
  assert.deepEqual(readTime('2026-11-20', true), { value: '2026-11-20T00:00:00.000Z' });
  assert.deepEqual(readTime('2026-11-20T09:13:36+02:00', true), { value: '2026-11-20T07:13:36.000Z' });
  assert.deepEqual(readTime(' now-2h ', true), { value: 'now-2h' });
  assert.ok(readTime('soon', true).error);
  assert.ok(readTime('2026-13-45', true).error);
});

test('the button says the range in words', () => {
  assert.equal(rangeLabel('now-1h', '', true), 'Last hour');
  assert.equal(rangeLabel('now-3h', '', true), 'Last 3h');
  assert.equal(rangeLabel('now-3h', 'now-1h', true), 'now-3h – now-1h');
  assert.equal(rangeLabel('2026-11-20T09:00:00Z', '', true), '2026-11-20 09:00:00 – now');
});

test('times are shown with what is needed of them', () => {
  const at = '2026-11-20T09:13:36.536000001Z';
  assert.equal(stamp(at, true), '2026-11-20 09:13:36.536');
  assert.equal(rowTime(at, true, false), '09:13:36.536');
  assert.equal(rowTime(at, true, true), '11-20 09:13:36.536');
  assert.equal(stamp('not a time', true), 'not a time');
  assert.equal(axisTime(Date.parse('2026-11-20T09:15:00Z'), true, 300), '09:15');
  assert.equal(axisTime(Date.parse('2026-11-20T09:15:05Z'), true, 5), '09:15:05');
  assert.equal(axisTime(Date.parse('2026-11-20T00:00:00Z'), true, 21600), '11-20');
});

test('zones, ages and widths', () => {
  assert.deepEqual([zoneLabel(true, -120), zoneLabel(false, 0), zoneLabel(false, -120), zoneLabel(false, 330)], ['UTC', 'UTC', '+02:00', '−05:30']);
  assert.deepEqual([12, 300, 3 * 3600, 3 * 86400].map((s) => ago(new Date(NOW - s * 1000).toISOString(), NOW)), ['12 s', '5 min', '3 h', '3 d']);
  assert.deepEqual([500, 45_000, 90_000, 36e5, 1728e5].map(width), ['500 ms', '45 s', '1.5 min', '1 h', '2 d']);
});
