// On the overview, only the theme is interactive.
startTheme();
