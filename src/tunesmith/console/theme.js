// Sets the theme before anything is drawn, so that no page flashes in the wrong one.
try {
  const theme = localStorage.getItem("tunesmith.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Without storage the system's theme it is.
}
