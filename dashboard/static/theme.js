// Light or dark: what the person chose, else what the system says. Runs before the page is drawn.
(() => {
  const root = document.documentElement;
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const chosen = () => { try { return localStorage.getItem('radtally-theme'); } catch { return null; } };
  const apply = () => {
    root.dataset.bsTheme = chosen() ?? (dark.matches ? 'dark' : 'light');
    document.dispatchEvent(new Event('radtally:theme'));
  };
  apply();
  dark.addEventListener('change', apply);
  document.addEventListener('click', (event) => {
    if (!event.target.closest?.('#theme')) return;
    try { localStorage.setItem('radtally-theme', root.dataset.bsTheme === 'dark' ? 'light' : 'dark'); } catch { /* private mode */ }
    apply();
  });
})();
