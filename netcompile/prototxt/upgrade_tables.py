"""What Caffe's upgrade knows, as tables (the rules of BVLC Caffe's upgrade of nets, written as data)."""

from __future__ import annotations

from netcompile.prototxt.schema import V1_TYPE, enum_type

# V1's names of layer types whose V2 names are not simply their words, capitalised: forks' names in the second half
_IRREGULAR = {
    "NONE": "",
    "ABSVAL": "AbsVal",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "LRN": "LRN",
    "MVN": "MVN",
    "RELU": "ReLU",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "TANH": "TanH",
    "BN": "BN",
    "CONVOLUTION3D": "Convolution3D",
    "DECONVOLUTION3D": "Deconvolution3D",
    "DENSE_CRF": "DenseCRF",
    "LRN_MAP": "LRNMap",
    "POOLING3D": "Pooling3D",
    "TOPK": "TopK",
}


def v2_type(name: str) -> str:
    """The V2 name of a V1 layer type: "Convolution" for "CONVOLUTION"; "" for "NONE", which names no layer."""
    return _IRREGULAR.get(name, "".join(map(str.capitalize, name.split("_"))))


def v1_type(name: str) -> str | None:
    """The V1 name of a V2 layer type, whatever its case; None for a type that V1 lacks."""
    wanted = name.lower()
    return next((old for old in enum_type(V1_TYPE).numbers if v2_type(old).lower() == wanted), None)


# V0's names of layer types -> V1's enum ("padding" is folded into the layer behind it and has none)
V0_TYPES = {
    "conv": "CONVOLUTION",
    "images": "IMAGE_DATA",
    "innerproduct": "INNER_PRODUCT",
    "pool": "POOLING",
} | {
    name: name.upper()
    for name in (
        *("accuracy", "bnll", "concat", "data", "dropout", "euclidean_loss", "flatten", "hdf5_data", "hdf5_output"),
        *("im2col", "infogain_loss", "lrn", "multinomial_logistic_loss", "relu", "sigmoid", "softmax", "softmax_loss"),
        *("split", "tanh", "window_data"),
    )
}

# V0's types whose fields go to a block of their V1 layer
V0_BLOCKS = {
    "concat": "concat_param",
    "conv": "convolution_param",
    "data": "data_param",
    "dropout": "dropout_param",
    "hdf5_data": "hdf5_data_param",
    "images": "image_data_param",
    "infogain_loss": "infogain_loss_param",
    "innerproduct": "inner_product_param",
    "lrn": "lrn_param",
    "pool": "pooling_param",
    "window_data": "window_data_param",
}

# V0 fields of such a block -> the types that have them, the name in V1
V0_BLOCK_FIELDS = {
    "num_output": (("conv", "innerproduct"), "num_output"),
    "biasterm": (("conv", "innerproduct"), "bias_term"),
    "weight_filler": (("conv", "innerproduct"), "weight_filler"),
    "bias_filler": (("conv", "innerproduct"), "bias_filler"),
    "pad": (("conv", "pool"), "pad"),
    "kernelsize": (("conv", "pool"), "kernel_size"),
    "group": (("conv",), "group"),
    "stride": (("conv", "pool"), "stride"),
    "pool": (("pool",), "pool"),
    "dropout_ratio": (("dropout",), "dropout_ratio"),
    "local_size": (("lrn",), "local_size"),
    "alpha": (("lrn",), "alpha"),
    "beta": (("lrn",), "beta"),
    "k": (("lrn",), "k"),
    "source": (("data", "hdf5_data", "images", "window_data", "infogain_loss"), "source"),
    "batchsize": (("data", "hdf5_data", "images", "window_data"), "batch_size"),
    "rand_skip": (("data", "images"), "rand_skip"),
    "shuffle_images": (("images",), "shuffle"),
    "new_height": (("images",), "new_height"),
    "new_width": (("images",), "new_width"),
    "concat_dim": (("concat",), "concat_dim"),
    "det_fg_threshold": (("window_data",), "fg_threshold"),
    "det_bg_threshold": (("window_data",), "bg_threshold"),
    "det_fg_fraction": (("window_data",), "fg_fraction"),
    "det_context_pad": (("window_data",), "context_pad"),
    "det_crop_mode": (("window_data",), "crop_mode"),
}

# V0 fields that any type has -> (V1 block, field); an empty block: the layer itself
V0_FIELDS = {
    **{name: ("", name) for name in ("name", "blobs", "blobs_lr", "weight_decay")},
    "scale": ("transform_param", "scale"),
    "meanfile": ("transform_param", "mean_file"),
    "cropsize": ("transform_param", "crop_size"),
    "mirror": ("transform_param", "mirror"),
}


def v0_home(field: str, kind: str) -> tuple[str, str] | None:
    """Where a field of a V0 layer of this type goes: (V1 block, "" for the layer itself; field); None: nowhere."""
    if (field, kind) == ("hdf5_output_param", "hdf5_output"):
        return "", field
    kinds, name = V0_BLOCK_FIELDS.get(field, ((), ""))
    return (V0_BLOCKS[kind], name) if kind in kinds else V0_FIELDS.get(field)


# V1 data layers whose block has transformation fields, which move to transform_param
DATA_BLOCKS = {"DATA": "data_param", "IMAGE_DATA": "image_data_param", "WINDOW_DATA": "window_data_param"}
TRANSFORM_FIELDS = ("scale", "mean_file", "crop_size", "mirror")

# V1's parallel lists, one value per parameter blob -> the field of that blob's ParamSpec
PARAM_LISTS = {
    "param": "name",
    "blob_share_mode": "share_mode",
    "blobs_lr": "lr_mult",
    "weight_decay": "decay_mult",
}
