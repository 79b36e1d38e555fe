// The overview has nothing that moves but its theme.
startTheme();
