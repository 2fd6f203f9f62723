"""Where batches come from: arrays in an .npz, folders and lists of images, HDF5 files.

Every source gives batch number k as a pure function of k and its seed: a training that resumes, or runs on several
processes, reads the same batches.
"""
