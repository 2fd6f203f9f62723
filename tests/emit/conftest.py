"""What pytest leaves alone here: modules that are compared, not run."""

collect_ignore_glob = ["expected/*"]
