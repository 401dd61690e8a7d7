"""How a worker notices lost connections, channels and consumers, and connects again."""
