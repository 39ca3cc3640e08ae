// The HTTP API: NDJSON and SSE as async generators, errors with their place in the query.

export class ApiError extends Error {
  constructor(status, detail) {
    super(detail?.message ?? `the server answered ${status}`);
    this.status = status;
    this.code = detail?.code ?? '';
    this.pos = detail?.pos ?? 0;
    this.len = detail?.len ?? 1;
    this.hint = detail?.hint ?? '';
  }
}

/** Kept in memory only: no storage of a browser is a place for it. */
let token = '';

export function setToken(text) {
  token = text.trim();
}

const withToken = (headers) => (token ? { ...headers, authorization: `Bearer ${token}` } : headers);

async function checked(response) {
  if (response.ok) return response;
  let detail = null;
  try {
    detail = (await response.json()).error;
  } catch {
    // Not ours: a proxy answered. The status says what there is to say.
  }
  throw new ApiError(response.status, detail);
}

export async function getJson(path, signal) {
  return (await checked(await fetch(path, { signal, headers: withToken({ accept: 'application/json' }) }))).json();
}

async function post(path, body, accept, signal) {
  const headers = { 'content-type': 'application/json', accept };
  return checked(await fetch(path, { method: 'POST', signal, headers: withToken(headers), body: JSON.stringify(body) }));
}

export async function postJson(path, body, signal) {
  return (await post(path, body, 'application/json', signal)).json();
}

export async function deleteJson(path) {
  return (await checked(await fetch(path, { method: 'DELETE', headers: withToken({ accept: 'application/json' }) }))).json();
}

/** The frames of a query, in arrays: all that came in one piece of the network. */
export async function* query(request, signal) {
  const response = await post('/api/v1/query', request, 'application/x-ndjson', signal);
  let ended = false;
  for await (const lines of lineBatches(response.body)) {
    const frames = lines.filter((line) => line !== '').map((line) => JSON.parse(line));
    for (const frame of frames) {
      if (frame.error) throw new ApiError(200, frame.error);
      ended ||= frame.t === 'end';
    }
    yield frames;
  }
  if (!ended) throw new Error('the answer broke off');
}

/** The events of a tail: `{id, data}`. `fetch`, because an EventSource cannot say why it failed. */
export async function* tail(parameters, lastId, signal) {
  const headers = { accept: 'text/event-stream' };
  if (lastId) headers['last-event-id'] = lastId;
  const response = await checked(await fetch(`/api/v1/tail?${new URLSearchParams(parameters)}`, { signal, headers: withToken(headers) }));
  const assembly = new SseAssembly();
  for await (const lines of lineBatches(response.body)) {
    const events = lines.map((line) => assembly.line(line)).filter((event) => event !== null);
    if (events.length) yield events;
  }
}

/** Cuts a stream of bytes into arrays of whole lines; what stands after the last newline was cut off. */
export async function* lineBatches(stream) {
  const decoder = new TextDecoder();
  let rest = '';
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const parts = (rest + decoder.decode(value, { stream: true })).split('\n');
      rest = parts.pop();
      if (parts.length) yield parts.map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** `field: value` lines become events; a blank line dispatches, `:` begins a comment. */
export class SseAssembly {
  id = '';
  data = null;

  line(line) {
    if (line === '') {
      const data = this.data;
      this.data = null;
      return data === null ? null : { id: this.id, data };
    }
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'id') this.id = value;
    if (field === 'data') this.data = this.data === null ? value : `${this.data}\n${value}`;
    return null;
  }
}
