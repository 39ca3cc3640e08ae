// Small edits of a query's text: what a click on a value means. The server parses; nothing here has to.

/** Characters that a bare word may hold; everything else is quoted. */
const BARE = /^[A-Za-z0-9_./@-]+$/;
const FIELD = /^[A-Za-z_@][A-Za-z0-9_@./-]*$/;

/** The place of the first pipe outside quotes, or -1. `||` is an OR. */
function pipeAt(query) {
  let quote = '';
  for (let i = 0; i < query.length; i += 1) {
    const c = query[i];
    if (quote) {
      if (c === '\\' && quote !== '`') i += 1;
      else if (c === quote) quote = '';
    } else if (c === '"' || c === "'" || c === '`') {
      quote = c;
    } else if (c === '\\') {
      i += 1;
    } else if (c === '|') {
      if (query[i + 1] !== '|') return i;
      i += 1;
    }
  }
  return -1;
}

/** The filter before the first pipe. */
export function filterPart(query) {
  const at = pipeAt(query);
  return (at < 0 ? query : query.slice(0, at)).trim();
}

/** `field:value` as a term that finds exactly this value. */
export function term(field, value) {
  const name = FIELD.test(field) ? field : `\`${field.replaceAll('`', '')}\``;
  if (typeof value === 'number' || typeof value === 'boolean') return `${name}=${value}`;
  const text = String(value);
  if (BARE.test(text) && !/^-/.test(text)) return `${name}=${text}`;
  return `${name}="${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}

/** The query narrowed to rows with (or without) this value; pipes stay behind the filter. */
export function withTerm(query, field, value, exclude = false) {
  const added = (exclude ? '-' : '') + term(field, value);
  const opposite = (exclude ? '' : '-') + term(field, value);
  const at = pipeAt(query);
  const filter = (at < 0 ? query : query.slice(0, at)).trim();
  const pipes = at < 0 ? '' : ` ${query.slice(at)}`;
  const terms = filter === '*' || filter === '' ? [] : [filter];
  // An OR would take the new term into its last branch only.
  if (terms.length && /\bOR\b|\|\|/i.test(filter) && !wrapped(filter)) terms[0] = `(${filter})`;
  if (` ${terms[0] ?? ''} `.includes(` ${added} `)) return query;
  if (` ${terms[0] ?? ''} `.includes(` ${opposite} `)) {
    terms[0] = ` ${terms[0]} `.replace(` ${opposite} `, ` ${added} `).trim();
  } else {
    terms.push(added);
  }
  return terms.join(' ') + pipes;
}

/** One pair of parentheses holds it all. */
function wrapped(filter) {
  if (!filter.startsWith('(') || !filter.endsWith(')')) return false;
  let depth = 0;
  for (let i = 0; i < filter.length; i += 1) {
    if (filter[i] === '(') depth += 1;
    if (filter[i] === ')') depth -= 1;
    if (depth === 0 && i < filter.length - 1) return false;
  }
  return true;
}

/** Puts a suggestion in the place of what was mistyped. `pos` counts characters from 1. */
export function replaceAt(query, pos, word, replacement) {
  const chars = [...query];
  const at = pos - 1;
  const length = [...word].length;
  if (chars.slice(at, at + length).join('') !== word) return query;
  return [...chars.slice(0, at), replacement, ...chars.slice(at + length)].join('');
}

const OPERATORS = new Set(['and', 'or', 'not', '&&', '||', '*', '']);

/** Words that the filter looks for in the message, lower case, the longest first: what is marked in the rows. */
export function searchedWords(query) {
  const words = new Set();
  const tokens = filterPart(query).match(/[^\s()"',]*"(?:\\.|[^"\\])*"|[^\s()"',]*'(?:\\.|[^'\\])*'|[^\s()"',]+/g) ?? [];
  let negated = false;
  for (const token of tokens) {
    if (/^not$/i.test(token)) {
      negated = true;
      continue;
    }
    const skip = negated;
    negated = false;
    const quoted = /^(?:message[:=])?(["'])(.*)\1$/s.exec(token);
    const bare = token.replace(/^message[:=]/, '');
    if (skip || /^[-!]/.test(token)) continue;
    const word = quoted ? quoted[2].replace(/\\(.)/gs, '$1') : bare.replace(/^\*+|\*+$/g, '');
    if (!quoted && (OPERATORS.has(word.toLowerCase()) || /[:=<>~*?|`]/.test(word))) continue;
    if (word) words.add(word.toLowerCase());
  }
  return [...words].sort((a, b) => b.length - a.length);
}
