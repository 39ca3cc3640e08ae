// Silences as text: matchers from labels, what they match, and the body that the API takes. Pure: now is an argument.
import { readTime } from './time.js';

/** How long, as the API reads it and as people do. The last one has a field of its own. */
export const LENGTHS = [['1h', '1 h'], ['4h', '4 h'], ['1d', '1 day'], ['until', 'until']];
/** The server takes no more in one silence. */
const MATCHERS_MAX = 20;
/** Names of one sentence; the others are counted. */
const NAMES_MAX = 3;

/** What silences see of an alert: its severity is a label like the others. */
export const labelsOf = (alert) => ({ ...alert.labels, ...(alert.severity ? { severity: alert.severity } : {}) });

/**
 * Matchers for exactly these labels, one a line. Not for the severity: an alert that gets worse is the same alert.
 * Matchers know no escapes, so a value with a line break becomes an expression.
 */
export function matchersOf(labels) {
  const names = Object.keys(labels).filter((name) => name !== 'severity' && /^[^\s=!]+$/.test(name)).sort();
  return names.slice(0, MATCHERS_MAX).map((name) => {
    const value = labels[name];
    return /[\r\n]/.test(value) ? `${name}=~"${exactly(value)}"` : `${name}="${value}"`;
  }).join('\n');
}

const exactly = (value) => value.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&').replaceAll('\n', '\\n').replaceAll('\r', '\\r');

/** The lines that are matchers. */
export const matcherLines = (text) => text.split('\n').map((line) => line.trim()).filter((line) => line !== '');

/** A matcher as a function of labels, or null where only the server can tell. A missing label is an empty one. */
export function matcher(text) {
  const parts = /^([^\s=!]+)\s*(=~|!~|!=|=)([^]*)$/.exec(text.trim());
  if (!parts) return null;
  const [, name, operator, rest] = parts;
  const value = /^"[^]*"$/.test(rest.trim()) && rest.trim().length > 1 ? rest.trim().slice(1, -1) : rest.trim();
  let test = (given) => given === value;
  if (operator.endsWith('~')) {
    try {
      const expression = new RegExp(`^(?:${value})$`, 'u');
      test = (given) => expression.test(given);
    } catch {
      return null;
    }
  }
  const wanted = !operator.startsWith('!');
  return (labels) => test(labels[name] ?? '') === wanted;
}

/** Whether all matchers match, or null where only the server can tell. */
function matches(lines, labels) {
  const tests = lines.map(matcher);
  return tests.includes(null) ? null : tests.every((test) => test(labels));
}

/** A sentence: which of the alerts these matchers would silence. */
export function matched(text, alerts) {
  const lines = matcherLines(text);
  if (!lines.length) return 'One matcher a line, such as service="api" or host=~"web-.*"';
  const odd = lines.find((line) => matcher(line) === null);
  if (odd !== undefined) return `Only the server can tell what ${odd} matches`;
  const found = alerts.filter((alert) => matches(lines, labelsOf(alert)));
  if (!found.length) return 'Matches none of the current alerts';
  const names = [...new Set(found.map(({ rule }) => rule))];
  const more = names.length > NAMES_MAX ? ` and ${names.length - NAMES_MAX} more` : '';
  return `Matches ${found.length} of ${alerts.length} current ${alerts.length === 1 ? 'alert' : 'alerts'}: ${names.slice(0, NAMES_MAX).join(', ')}${more}`;
}

/** Silences that hold or will, the first to end first. */
export function inForce(silences) {
  return silences.filter(({ state }) => state !== 'expired').sort((a, b) => Date.parse(a.ends) - Date.parse(b.ends));
}

/** The silence that holds an alert back for the longest, or undefined. */
export function silencedBy(alert, silences) {
  const labels = labelsOf(alert);
  return inForce(silences).filter((silence) => silence.state === 'active' && matches(silence.matchers, labels)).at(-1);
}

/** The body of a silence out of the form: `{body}`, or `{error}` with the field that is wrong. */
export function silenceBody({ matchers, lasts, until, author, comment }, utc) {
  const body = { matchers: matcherLines(matchers), author: author.trim(), comment: comment.trim() };
  if (lasts !== 'until') return { body: { ...body, for: lasts } };
  const { value, error } = readTime(until, utc);
  if (error || !/^\d/.test(value)) return { error: 'a time such as 2026-11-20 18:00' };
  return { body: { ...body, ends: value } };
}
