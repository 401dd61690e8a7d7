"""What a broker is asked and told: connections, the management API, queue depths, the control bus."""
