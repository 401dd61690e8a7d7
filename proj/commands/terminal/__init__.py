"""What commands share: the console, the browser, interruptions and options."""
