"""Training as Caffe's solvers do it: solver files, update rules, fillers, data sources, snapshots, `torchrun`.

`solver` and `rates` need no torch; everything else here is imported only when a net is trained.
"""
