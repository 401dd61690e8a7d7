"""Dead letters: one letter, their queue, their export file, and the policies that make the broker keep them."""
