"""Files of readers on their way into a magazine (MAG-9..11): upload, check, commit, and 30 days to take it back. steps.py tells
the story."""
