// Which rows of a long list are in sight, when one of them is open and taller. Pure.

/** Where row `index` begins, in pixels. */
export function rowTop(index, layout) {
  const { rowPx, open, openPx } = layout;
  return index * rowPx + (open >= 0 && index > open ? openPx : 0);
}

/** Height of all. */
export const listPx = (length, layout) => rowTop(length, layout);

/** The first and last row to draw, `over` more on each side. */
export function visibleRange(length, scrollTop, viewPx, layout, over = 8) {
  if (length === 0) return [0, -1];
  const { rowPx, open, openPx } = layout;
  const rowAt = (y) => {
    const below = (open + 1) * rowPx;
    if (open < 0 || y < below) return Math.floor(y / rowPx);
    return y < below + openPx ? open : Math.floor((y - openPx) / rowPx);
  };
  const clamp = (index) => Math.max(0, Math.min(length - 1, index));
  return [clamp(rowAt(Math.max(0, scrollTop)) - over), clamp(rowAt(scrollTop + viewPx) + over)];
}

/** The scroll position that shows row `index`, moving as little as possible. */
export function scrollFor(index, scrollTop, viewPx, layout) {
  const top = rowTop(index, layout);
  const bottom = top + layout.rowPx;
  if (top < scrollTop) return top;
  if (bottom > scrollTop + viewPx) return bottom - viewPx;
  return scrollTop;
}
