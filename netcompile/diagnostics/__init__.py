"""What is said about a mistake, and how: the ground floor, which imports nothing of the other packages."""
