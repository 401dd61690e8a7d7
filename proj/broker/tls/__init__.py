"""TLS: whom a connection to the broker trusts, and one sentence for each mistake."""
