"""Reports of what happened: one document of figures and pictures, and its forms for terminal, page and pull request."""
