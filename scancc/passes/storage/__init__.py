"""Where the results of scans are stored."""
