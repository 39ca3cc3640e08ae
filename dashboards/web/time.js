// Times and ranges for people. Pure: now is an argument.

export const PRESETS = [
  ['now-5m', 'Last 5 minutes'],
  ['now-15m', 'Last 15 minutes'],
  ['now-1h', 'Last hour'],
  ['now-6h', 'Last 6 hours'],
  ['now-1d', 'Last 24 hours'],
  ['now-7d', 'Last 7 days'],
  ['now-30d', 'Last 30 days'],
];

const UNIT_MS = { ms: 1, s: 1e3, m: 6e4, h: 36e5, d: 864e5, w: 6048e5 };
const RELATIVE = /^now(?:-((?:\d+(?:\.\d+)?(?:ms|[smhdw]))+))?$/;

/** Milliseconds since 1970 of a relative or absolute time, or NaN. Empty is now. */
export function toMs(text, now) {
  const trimmed = text.trim();
  if (trimmed === '') return now;
  const relative = RELATIVE.exec(trimmed);
  if (relative) {
    let ms = now;
    for (const [, number, unit] of (relative[1] ?? '').matchAll(/(\d+(?:\.\d+)?)(ms|[smhdw])/g)) {
      ms -= Number(number) * UNIT_MS[unit];
    }
    return ms;
  }
  if (/^\d{9,11}$/.test(trimmed)) return Number(trimmed) * 1000;
  if (/^\d{12,14}$/.test(trimmed)) return Number(trimmed);
  return /^\d{4}-\d\d-\d\d/.test(trimmed) ? Date.parse(trimmed.replace(' ', 'T')) : NaN;
}

/**
 * What was typed into the absolute fields, as a time for the server: `{value}` or `{error}`.
 * Text without a zone is in the zone that the page shows.
 */
export function readTime(text, utc) {
  const trimmed = text.trim();
  if (trimmed === '' || RELATIVE.test(trimmed)) return { value: trimmed };
  const zoned = /(?:Z|[+-]\d\d:?\d\d)$/i.test(trimmed);
  const ms = toMs(utc && !zoned && /^\d{4}-/.test(trimmed) ? `${full(trimmed)}Z` : trimmed, 0);
  if (Number.isNaN(ms)) return { error: 'like 2026-11-20 09:13, or now-2h' };
  return { value: new Date(ms).toISOString() };
}

function full(text) {
  const iso = text.replace(' ', 'T');
  return /T\d\d:\d\d/.test(iso) ? iso : `${iso}T00:00`;
}

/** The words on the time button. */
export function rangeLabel(from, to, utc) {
  const preset = to === '' && PRESETS.find(([value]) => value === from);
  if (preset) return preset[1];
  const relative = /^now-(.+)$/.exec(from);
  if (relative && to === '') return `Last ${relative[1]}`;
  const side = (text, empty) => (text === '' ? empty : /^now/.test(text) ? text : stamp(text, utc, false));
  return `${side(from, 'the beginning')} – ${side(to, 'now')}`;
}

const pad = (number, width = 2) => String(number).padStart(width, '0');

function parts(ms, utc) {
  const date = new Date(ms);
  return utc
    ? { y: date.getUTCFullYear(), o: date.getUTCMonth() + 1, d: date.getUTCDate(), h: date.getUTCHours(), m: date.getUTCMinutes(), s: date.getUTCSeconds(), ms: date.getUTCMilliseconds() }
    : { y: date.getFullYear(), o: date.getMonth() + 1, d: date.getDate(), h: date.getHours(), m: date.getMinutes(), s: date.getSeconds(), ms: date.getMilliseconds() };
}

/** `2026-11-20 09:13:36.536`, or with `exact` all digits that the text has. Text that is no time stays. */
export function stamp(rfc3339, utc, millis = true) {
  const ms = Date.parse(rfc3339);
  if (Number.isNaN(ms)) return rfc3339;
  const p = parts(ms, utc);
  return `${p.y}-${pad(p.o)}-${pad(p.d)} ${pad(p.h)}:${pad(p.m)}:${pad(p.s)}${millis ? `.${pad(p.ms, 3)}` : ''}`;
}

/** The time column: the day only where the range has more than one. */
export function rowTime(rfc3339, utc, withDay) {
  const text = stamp(rfc3339, utc);
  return withDay ? text.slice(5) : text.slice(11);
}

/** A label below the histogram: `09:15`, with seconds or as a day where the steps (in seconds) ask for it. */
export function axisTime(ms, utc, step) {
  const p = parts(ms, utc);
  if (step >= 86400 || (p.h === 0 && p.m === 0 && p.s === 0)) return `${pad(p.o)}-${pad(p.d)}`;
  return `${pad(p.h)}:${pad(p.m)}${step < 60 ? `:${pad(p.s)}` : ''}`;
}

/** The zone beside a time: `UTC` or `+02:00`. */
export function zoneLabel(utc, offsetMinutes) {
  if (utc || offsetMinutes === 0) return 'UTC';
  const minutes = Math.abs(offsetMinutes);
  // JavaScript counts from local to UTC: the sign is the other way round.
  return `${offsetMinutes > 0 ? '−' : '+'}${pad(Math.floor(minutes / 60))}:${pad(minutes % 60)}`;
}

/** `12 s`, `4 min`, `3 h`, `2 d`: how long ago. */
export function ago(rfc3339, now) {
  const seconds = Math.max(0, Math.round((now - Date.parse(rfc3339)) / 1000));
  if (Number.isNaN(seconds)) return '';
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

/** The width of a bucket in words. */
export function width(ms) {
  for (const [unit, size] of [['d', 864e5], ['h', 36e5], ['min', 6e4], ['s', 1e3]]) {
    if (ms >= size) return `${Number((ms / size).toFixed(1))} ${unit}`;
  }
  return `${ms} ms`;
}
