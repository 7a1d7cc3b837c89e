// Before anything is drawn: the colours that were chosen here earlier; without a choice, those of the system.
{
  const chosen = (() => { try { return localStorage.getItem('headwater-theme'); } catch { return null; } })();
  if (chosen === 'dark' || chosen === 'light') document.documentElement.dataset.theme = chosen;
}
