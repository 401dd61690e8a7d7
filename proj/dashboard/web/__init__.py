"""Flower's web application with the Dispatch page: pages, options, and the filters before its events."""
