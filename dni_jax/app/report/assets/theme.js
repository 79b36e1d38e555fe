// Light or dark: follows the system until the button is used.
function startTheme(redraw) {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  try {
    const kept = localStorage.getItem("dni-theme");
    if (kept === "light" || kept === "dark") root.dataset.theme = kept;
  } catch {} // a page opened from disk may have no storage
  document.getElementById("theme").addEventListener("click", () => {
    const isDark = root.dataset.theme ? root.dataset.theme === "dark" : dark.matches;
    root.dataset.theme = isDark ? "light" : "dark";
    try {
      localStorage.setItem("dni-theme", root.dataset.theme);
    } catch {}
    redraw?.();
  });
  dark.addEventListener("change", () => redraw?.());
}
