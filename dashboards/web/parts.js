// Pieces that several parts of the page show: hostile-safe text, times, levels, icons.
import { html } from './html.js';
import { levelClass, levelLetter, linked, marked, pieces } from './text.js';
import { stamp } from './time.js';

/** Log text: hostile characters as chips, searched words marked, and links when asked. Text nodes only. */
export function Text({ text, words = [], links = false, breaks = false }) {
  return pieces(String(text), breaks).map((piece) => {
    if (piece.chip) return html`<span class="chip" title="a character that is not shown as itself">${piece.text}</span>`;
    if (!links) return html`<${Marked} text=${piece.text} words=${words} />`;
    return linked(piece.text).map(({ text: part, href }) => (href
      ? html`<a href=${href} target="_blank" rel="noopener noreferrer">${part}</a>`
      : html`<${Marked} text=${part} words=${words} />`));
  });
}

function Marked({ text, words }) {
  return marked(text, words).map(({ text: part, hit }) => (hit ? html`<mark>${part}</mark>` : part));
}

/** A level by its letter and its colour. */
export function Level({ level }) {
  return html`<span class=${`level ${levelClass(level)}`} role="img" title=${level ?? 'no level'} aria-label=${level ?? 'no level'}>${levelLetter(level)}</span>`;
}

/** A moment in the zone of the page; the exact one is in `datetime` and the tooltip. */
export function Time({ at, utc, children }) {
  return html`<time datetime=${at} title=${at}>${children ?? stamp(at, utc)}</time>`;
}

const PATHS = {
  search: 'M7 2.500a4.500 4.500 0 1 0 0 9 4.500 4.500 0 0 0 0-9zM10.400 10.400 14 14',
  clock: 'M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 5v3.300l2.200 1.400',
  live: 'M5 3.500v9l7.500-4.500z',
  pause: 'M5.500 3.500v9M10.500 3.500v9',
  stop: 'M4.500 4.500h7v7h-7z',
  plus: 'M8 3.500v9M3.500 8h9',
  minus: 'M3.500 8h9',
  link: 'M6.500 9.500l3-3M7 4.500l1.200-1.200a2.800 2.800 0 0 1 4 4L11 8.500M9 11.500l-1.200 1.200a2.800 2.800 0 0 1-4-4L5 7.500',
  copy: 'M5.500 5.500h7v7h-7zM3.500 10.500v-7h7',
  close: 'M4 4l8 8M12 4l-8 8',
  theme: 'M8 2.500a5.500 5.500 0 1 0 0 11zM8 2.500a5.500 5.500 0 0 1 0 11',
  bell: 'M4 11.500h8l-1-1.500V7a3 3 0 0 0-6 0v3zM7 13.500h2',
  check: 'M3.500 8.500l3 3 6-7',
  mute: 'M4 11.500h8l-1-1.500V7a3 3 0 0 0-6 0v3zM3 3l10 10',
  chevron: 'M6 4l4 4-4 4',
  around: 'M8 3v3M8 10v3M4 8h8M6 4.500 8 2.500l2 2M6 11.500l2 2 2-2',
};

/** A line icon; decoration, so that a reader hears the label of its button instead. */
export function Icon({ name }) {
  return html`<svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;
}
