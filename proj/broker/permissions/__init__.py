"""What a user of the broker may do: connections over which nothing is declared, and rights that are missing."""
