"""What nets are for: one package or file for each task. Tensors are computed by `runtime`, data is read by `data`."""
