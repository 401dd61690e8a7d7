"""Why a message cannot be run: checks of its headers, times, body and size."""
