"""What is asked of a broker: connections, the management API, queue depths and rates, the control bus."""
