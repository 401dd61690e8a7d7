"""The system under test of a drill: broker, workers, publisher, proxy, and the evidence they leave."""
