// What a silence of the page matches, and what is sent for it.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { inForce, matched, matcher, matcherLines, matchersOf, silenceBody, silencedBy } from '../web/matchers.js';

const alert = (rule, labels, severity = 'critical') => ({ rule, severity, labels: { alertname: rule, ...labels } });

test('the labels of an alert become matchers that match it', () => {
  assert.equal(matchersOf({ service: 'api', alertname: 'Errors', severity: 'critical' }), 'alertname="Errors"\nservice="api"');
  assert.equal(matchersOf({ 'odd name': 'x', 'a=b': 'y' }), '', 'no matcher can name these');
  for (const value of ['plain', '', 'a "quoted" b', ' padded ', 'back\\slash', 'two\nlines.*', '[x](y)\r\n$', '"', '日本 \u{1f600}']) {
    const [line, ...others] = matcherLines(matchersOf({ path: value }));
    assert.deepEqual(others, []);
    assert.ok(matcher(line)({ path: value }), line);
    assert.ok(!matcher(line)({ path: `${value}x` }), line);
  }
  assert.equal(matcherLines(matchersOf(Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`l${i}`, 'v'])))).length, 20);
});

test('matchers are read as the server reads them', () => {
  const labels = { severity: 'critical', host: 'web-1' };
  for (const [text, want] of [
    ['severity="critical"', true], ['severity = critical', true], ['severity!="critical"', false],
    ['host=~"web"', false], ['host=~"web-.*"', true], ['host!~"db-.*"', true], ['team=""', true], ['team!=""', false],
    ['host=~web-(1|2)', true],
  ]) assert.equal(matcher(text)(labels), want, text);
  for (const text of ['severity', '=x', 'host=~"("', 'a b=c', 'host=~(?i)WEB.*', '']) assert.equal(matcher(text), null, text);
});

test('the form says what its matchers match', () => {
  const alerts = [alert('A', { host: 'web-1' }), alert('A', { host: 'web-2' }), alert('B', { host: 'web-1' }, 'warning'), alert('C', {}), alert('D', {})];
  for (const [text, want] of [
    ['', /^One matcher a line/],
    ['host', /^Only the server can tell what host matches$/],
    ['host="db"', /^Matches none of the current alerts$/],
    ['alertname=A\nhost=web-2', /^Matches 1 of 5 current alerts: A$/],
    ['host=web-1', /^Matches 2 of 5 current alerts: A, B$/],
    ['severity=critical', /^Matches 4 of 5 current alerts: A, C, D$/],
    ['alertname!=""', /: A, B, C and 1 more$/],
  ]) assert.match(matched(text, alerts), want, text);
  assert.equal(matched('alertname=A', alerts.slice(0, 1)), 'Matches 1 of 1 current alert: A');
});

test('an alert is silenced by what is active and matches, until the last of them ends', () => {
  const silence = (id, state, ends, matchers) => ({ id, state, ends, matchers });
  const silences = [
    silence('late', 'active', '2026-11-21T06:00:00Z', ['alertname="A"']),
    silence('soon', 'active', '2026-11-21T05:00:00.5Z', ['host="web-1"']),
    silence('other', 'active', '2026-11-21T09:00:00Z', ['alertname="B"']),
    silence('to come', 'pending', '2026-11-21T09:00:00Z', ['alertname="A"']),
    silence('over', 'expired', '2026-11-21T09:30:00Z', ['alertname="A"']),
    silence('unreadable', 'active', '2026-11-21T09:30:00Z', ['alertname=~"(?i)a"']),
  ];
  assert.equal(silencedBy(alert('A', { host: 'web-1' }), silences).id, 'late');
  assert.equal(silencedBy(alert('C', {}), silences), undefined);
  assert.deepEqual(inForce(silences).map(({ id }) => id), ['soon', 'late', 'other', 'to come', 'unreadable']);
});

test('the form becomes the body that the API takes', () => {
  const form = { matchers: ' host="a" \n\n', lasts: '4h', until: '', author: ' ann ', comment: 'deploy ' };
  assert.deepEqual(silenceBody(form, true), { body: { matchers: ['host="a"'], author: 'ann', comment: 'deploy', for: '4h' } });
  const until = (text) => silenceBody({ ...form, lasts: 'until', until: text }, true);
  assert.deepEqual(until('2026-11-21 18:00').body, { matchers: ['host="a"'], author: 'ann', comment: 'deploy', ends: '2026-11-21T18:00:00.000Z' });
  for (const text of ['', 'now-1h', 'tomorrow']) assert.match(until(text).error, /such as/, text);
});
