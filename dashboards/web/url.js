// The state of the page as an address, and back. Pure, so that it is tested without a browser.

export const DEFAULT_FROM = 'now-1h';

/**
 * @typedef {Object} View
 * @property {string} query
 * @property {string} from   a relative (`now-1h`) or absolute (RFC 3339) time
 * @property {string} to     the same; empty is now
 * @property {boolean} utc
 * @property {boolean} live
 * @property {string} event  the id of a permalink `/e/ID`, else empty
 */

/** @returns {View} */
export function parseUrl(pathname, search) {
  const params = new URLSearchParams(search);
  const event = /^\/e\/([0-9A-Za-z]{26})\/?$/.exec(pathname);
  return {
    query: params.get('q') ?? '',
    from: params.get('from') || DEFAULT_FROM,
    to: params.get('to') ?? '',
    utc: params.get('tz') === 'utc',
    live: params.get('live') === '1',
    event: event ? event[1].toUpperCase() : '',
  };
}

/** Leaves out what is as it would be anyway, so that addresses stay short. */
export function formatUrl(view) {
  const params = new URLSearchParams();
  if (view.query) params.set('q', view.query);
  if (view.from && view.from !== DEFAULT_FROM) params.set('from', view.from);
  if (view.to) params.set('to', view.to);
  if (view.utc) params.set('tz', 'utc');
  if (view.live) params.set('live', '1');
  const text = params.toString();
  return (view.event ? `/e/${view.event}` : '/') + (text ? `?${text}` : '');
}
