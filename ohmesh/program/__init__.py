"""What every serving program of ours needs: settings, logs, waiting before another try."""
