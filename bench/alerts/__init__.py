"""What `bench/alerts.py` starts, the faults, and the record of what was scraped."""
