"""Images, label maps, data sets and sources of batches: for prediction, evaluation and training alike."""
