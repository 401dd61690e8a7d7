"""What happened: the attempts of tasks, as events and the broker tell of them."""
