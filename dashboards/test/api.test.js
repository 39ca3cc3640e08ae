// Streams are cut into lines and events, wherever the network cut them.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ApiError, lineBatches, query, SseAssembly, tail } from '../web/api.js';

const stream = (chunks) => new ReadableStream({
  start(controller) {
    for (const chunk of chunks) controller.enqueue(chunk);
    controller.close();
  },
});

const cut = (text, size) => {
  const bytes = new TextEncoder().encode(text);
  const chunks = [];
  for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.slice(at, at + size));
  return chunks;
};

test('lines do not depend on where the pieces end, not even inside a character', async () => {
  for (let size = 1; size < 12; size += 1) {
    const lines = [];
    for await (const batch of lineBatches(stream(cut('é日\r\n\n\u{1f600}x\nhalf', size)))) lines.push(...batch);
    assert.deepEqual(lines, ['é日', '', '\u{1f600}x'], `pieces of ${size}`);
  }
});

test('events are put together as the standard says', () => {
  const assembly = new SseAssembly();
  const events = ': hi\n\nid: A\ndata: 1\n\ndata:two\ndata: lines\n\nevent: x\n\n'.split('\n').map((line) => assembly.line(line)).filter(Boolean);
  assert.deepEqual(events, [{ id: 'A', data: '1' }, { id: 'A', data: 'two\nlines' }]);
});

const answering = (status, text) => { globalThis.fetch = async () => new Response(status === 200 ? stream(cut(text, 7)) : text, { status }); };

test('a query gives its frames, and an answer without its end is an error', async () => {
  answering(200, '{"t":"meta"}\n{"t":"row","id":"a"}\n{"t":"end","complete":true}\n');
  const seen = [];
  for await (const frames of query({}, undefined)) seen.push(...frames.map(({ t }) => t));
  assert.deepEqual(seen, ['meta', 'row', 'end']);
  answering(200, '{"t":"meta"}\n{"t":"row","id":"a"}\n');
  await assert.rejects(async () => { for await (const frames of query({}, undefined)) assert.ok(frames); }, /broke off/);
});

test('an error keeps its place and its hint', async () => {
  answering(400, '{"error":{"code":"parse_error","message":"unknown pipe","pos":5,"len":3,"hint":"did you mean \'top\'?"}}');
  await assert.rejects(async () => { for await (const frames of query({}, undefined)) assert.ok(frames); }, (error) => {
    assert.ok(error instanceof ApiError);
    assert.deepEqual([error.status, error.pos, error.len, error.hint], [400, 5, 3, "did you mean 'top'?"]);
    return true;
  });
  answering(502, '<html>');
  await assert.rejects(async () => { for await (const events of tail({}, '', undefined)) assert.ok(events); }, /502/);
});
