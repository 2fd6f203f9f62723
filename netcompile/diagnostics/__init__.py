"""What is wrong with a file, where, why, and what to do about it: the ground floor."""
