"""What all commands share: the console, the browser, interruptions, and options."""
