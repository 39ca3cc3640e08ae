// Sets the theme before the first paint; a classic script, because a module would run after it.
(() => {
  try {
    const theme = localStorage.getItem('logweir-theme');
    if (theme === 'dark' || theme === 'light') document.documentElement.dataset.theme = theme;
  } catch {
    // Storage is switched off: the theme of the system it is.
  }
})();
