// Which rows are drawn, compared with laying all of them out.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { listPx, rowTop, scrollFor, visibleRange } from '../web/window.js';

test('the drawn rows are those in sight, whatever is open', () => {
  for (const length of [0, 1, 7, 500]) {
    for (const open of [-1, 0, 3, length - 1].filter((at) => at < length)) {
      const layout = { rowPx: 24, open, openPx: open < 0 ? 0 : 333 };
      for (let top = 0; top < listPx(length, layout) + 50; top += 37) {
        const [first, last] = visibleRange(length, top, 200, layout, 0);
        for (let i = 0; i < length; i += 1) {
          const begin = rowTop(i, layout);
          const bottom = begin + 24 + (i === open ? 333 : 0);
          const seen = bottom > top && begin <= top + 200;
          if (seen) assert.ok(i >= first && i <= last, `row ${i} of ${length}, open ${open}, at ${top}: ${first}..${last}`);
        }
        assert.ok(last - first <= 10);
      }
    }
  }
});

test('a row is scrolled to no further than needed', () => {
  const layout = { rowPx: 24, open: 1, openPx: 100 };
  assert.equal(scrollFor(0, 50, 200, layout), 0);
  assert.equal(scrollFor(2, 0, 200, layout), 0);
  assert.equal(scrollFor(9, 0, 200, layout), 9 * 24 + 100 + 24 - 200);
});
