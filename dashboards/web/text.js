// Text for people: hostile characters made visible, numbers, levels, links. Pure.

export const LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace'];
const LETTERS = { fatal: 'F', error: 'E', warn: 'W', info: 'I', debug: 'D', trace: 'T' };

export const levelLetter = (level) => LETTERS[level] ?? '·';
export const levelClass = (level) => (level in LETTERS ? `lv-${level}` : 'lv-none');

const C0 = 'NUL SOH STX ETX EOT ENQ ACK BEL BS TAB LF VT FF CR SO SI DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC FS GS RS US'.split(' ');

// Control characters, bidirectional overrides and isolates, and what has no width: they act on the display or hide in it.
// eslint-disable-next-line no-control-regex
const HOSTILE = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/u;

/** The name on the chip of a character that must not be drawn as itself. */
export function chipLabel(char) {
  const code = char.codePointAt(0);
  if (code < 0x20) return C0[code];
  if (code === 0x7f) return 'DEL';
  return `U+${code.toString(16).toUpperCase().padStart(4, '0')}`;
}

/**
 * Cuts text into plain pieces and hostile characters.
 * @returns {{text: string, chip: boolean}[]} chips carry their label
 */
export function pieces(text, keepBreaks = false) {
  const out = [];
  let plain = '';
  for (const char of text) {
    const harmless = !HOSTILE.test(char) || (keepBreaks && (char === '\n' || char === '\t'));
    if (harmless) {
      plain += char;
      continue;
    }
    if (plain) out.push({ text: plain, chip: false });
    plain = '';
    out.push({ text: chipLabel(char), chip: true });
  }
  if (plain) out.push({ text: plain, chip: false });
  return out;
}

/** Cuts text at the words that were searched: `[{text, hit}]`. ASCII case is ignored, so that lengths stay. */
export function marked(text, words) {
  if (!words.length) return [{ text, hit: false }];
  const lower = text.replace(/[A-Z]/g, (c) => c.toLowerCase());
  const out = [];
  let plain = 0;
  let at = 0;
  while (at < text.length) {
    const word = words.find((candidate) => lower.startsWith(candidate, at));
    if (word === undefined) {
      at += 1;
      continue;
    }
    if (at > plain) out.push({ text: text.slice(plain, at), hit: false });
    out.push({ text: text.slice(at, at + word.length), hit: true });
    at += word.length;
    plain = at;
  }
  if (plain < text.length) out.push({ text: text.slice(plain), hit: false });
  return out;
}

const LINK = /\bhttps?:\/\/[^\s"'<>\\]+[^\s"'<>\\.,;:!?)\]}]/g;

/** Cuts text at http and https addresses: `[{text, href}]`. No other scheme ever becomes a link. */
export function linked(text) {
  const out = [];
  let at = 0;
  for (const match of text.matchAll(LINK)) {
    if (match.index > at) out.push({ text: text.slice(at, match.index), href: '' });
    out.push({ text: match[0], href: URL.canParse(match[0]) ? match[0] : '' });
    at = match.index + match[0].length;
  }
  if (at < text.length) out.push({ text: text.slice(at), href: '' });
  return out;
}

const GROUPED = new Intl.NumberFormat('en-US');
export const count = (number) => GROUPED.format(number).replaceAll(',', '\u202f');

/** A number short enough for an axis: `1.2k`, `3M`. */
export function short(number) {
  const units = [[1e9, 'G'], [1e6, 'M'], [1e3, 'k']];
  for (const [size, unit] of units) {
    if (Math.abs(number) >= size) return `${Number((number / size).toPrecision(3))}${unit}`;
  }
  return String(Number(number.toPrecision(3)));
}

/** A value as it stands in a cell. */
export function cell(value) {
  if (value === null || value === undefined) return '';
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)));
  return JSON.stringify(value);
}
