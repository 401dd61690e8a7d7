"""What must exist on the broker for an app: queues, exchanges, bindings and policies, and the rights of its users."""
