"""Files from the web: over HTTP and HTTPS, in as many runs as it takes, whole or not at all."""
