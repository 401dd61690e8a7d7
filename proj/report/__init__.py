"""Reports: one document of figures and drawings, and its forms as text, HTML page and Markdown."""
