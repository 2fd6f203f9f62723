"""Detection: boxes with classes and scores. What nets find, how that is written, drawn and scored."""
