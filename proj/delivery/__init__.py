"""What keeps a message from being lost: confirmed publishing, safe consuming, dead letters and leaving in order."""
