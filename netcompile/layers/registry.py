"""All known layer types: the modules of this package, loaded when a net first asks for one of their types, and plugins.

`TYPES` says which module has which type, so that a command imports what its net needs and no more. A plugin is an entry
point of the group ``netcompile.layers`` that names a module; importing the module registers its classes with `@layer`.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from netcompile.diagnostics.nearest import Hints
from netcompile.layers import base
from netcompile.layers.base import Arity, Layer
from netcompile.layers.unknown import Unknown
from netcompile.prototxt.message import Message

# Which module of this package has which layer types; a type that stands in none is looked for in all of them.
TYPES: dict[str, tuple[str, ...]] = {
    "activation": ("ReLU", "Dropout", "ELU", "Sigmoid", "TanH", "Swish", "BNLL", "PReLU"),
    "activation_variants": ("ReLU6", "NegReLU", "CReLU", "SeLu", "SELU", "SeLuDropout", "Quantize", "Rescale", "Axpy"),
    "arithmetic": ("AbsVal", "Threshold", "Clip", "Power", "Exp", "Log"),
    "constant": ("Parameter", "DummyData", "HDF5Output"),
    "convolution": ("Convolution", "Deconvolution"),
    "convolution_variants": (
        "DepthwiseConvolution", "DepthwiseConvolutionLayer", "HoleConvolution", "ConvolutionDepthwise",
        "Convolution3D", "Deconvolution3D", "Pooling3D",
    ),
    "crf": ("MultiStageMeanfield",),
    "crop": ("Crop",),
    "data": ("Input", "MemoryData", "Data", "ImageData", "WindowData", "HDF5Data", "Python"),
    "data_variants": ("ImageSegData", "WindowSegData", "DenseImageData", "AnnotatedData", "VideoData", "RandVec"),
    "dense": ("InnerProduct", "Embed"),
    "detection": ("DetectionOutput",),
    "elementwise": ("Eltwise", "Bias", "Scale"),
    "flow": ("Correlation", "Correlation1D", "FlowWarp", "Warp", "Resample", "DataAugmentation"),
    "loss": (
        "SoftmaxWithLoss", "InfogainLoss", "MultinomialLogisticLoss", "HingeLoss", "SigmoidCrossEntropyLoss",
        "EuclideanLoss", "ContrastiveLoss",
    ),
    "loss_variants": (
        "BinAccuracy", "BoxAnnotatorOHEM", "CTCLoss", "CenterLoss", "ConfusionMatrix", "CtcLoss", "DetectionEvaluate",
        "DetectionLoss", "EltwiseAccuracy", "EvalDetection", "L1Loss", "LabelsequenceAccuracy", "LpqLoss",
        "RedAccuracy", "RedSoftmaxLoss", "RegionLoss", "SegAccuracy", "SmoothL1LossOHEM", "SoftmaxWithLossOHEM",
        "TripletLoss", "VoxelCustomLoss", "VoxelSoftmaxLoss", "VoxelWiseSoftmaxLoss", "WarpCTC", "WassersteinLoss",
        "MatWrite", "PFMWriter", "FLOWriter", "ImgWriter", "FloatWriter", "BlackHole", "SoftmaxCrossEntropyLoss",
        "SmoothL1Loss",
    ),
    "measure": ("Accuracy",),
    "multibox": ("MultiBoxLoss",),
    "normalisation": ("BatchNorm", "LRN", "MVN"),
    "normalisation_variants": ("BN", "LRNMap"),
    "pooling": ("Pooling",),
    "priors": ("PriorBox", "PriorBoxClustered"),
    "proposals": ("Python:rpn.proposal_layer.ProposalLayer", "FrcnnProposal", "Proposal"),
    "python_layers": (
        "Python:roi_data_layer.layer.RoIDataLayer", "Python:rpn.anchor_target_layer.AnchorTargetLayer",
        "Python:rpn.anchor_target_layer_ohem.AnchorTargetLayer",
        "Python:rpn.proposal_target_layer.ProposalTargetLayer",
        "Python:rpn.proposal_target_layer_ohem.ProposalTargetLayer",
    ),
    "recurrent": ("LSTM", "RNN", "Recurrent", "LSTMUnit"),
    "reducing": ("Reduction", "ArgMax", "Filter", "BatchReindex"),
    "regions": ("ROIPooling", "ROIAlign", "DecodeBBox", "PSROIPooling"),
    "reshaping": ("Flatten", "Reshape"),
    "resize": ("Interp", "Upsample", "Padding"),
    "sequences": ("Transpose", "Lstm", "CTCGreedyDecoder"),
    "shaping": ("Split", "Silence", "Concat", "Slice", "Tile"),
    "shaping_variants": (
        "Permute", "Reorg", "ShuffleChannel", "Reverse", "ContinuationIndicator", "SpatialPyramidPooling",
    ),
    "softmax": ("Softmax",),
    "spatial": ("Im2col", "SPP"),
    "unit_length": ("Normalize",),
    "unpooling": ("Unpooling",),
    "yolo": ("YoloDetectionOutput", "Yolov3DetectionOutput"),
}  # fmt: skip
MODULES = {name: module for module, names in TYPES.items() for name in names}


@cache
def load() -> dict[str, type[Layer]]:
    """Every type of this package by name, those of Caffe's forks included."""
    for module in TYPES:
        import_module(f"netcompile.layers.{module}")
    return base.REGISTRY


@cache
def _plugins() -> None:
    from importlib.metadata import entry_points

    for point in entry_points(group="netcompile.layers"):
        point.load()


def layer_class(name: str) -> type[Layer] | None:
    """The class of a layer type, None if nobody has it: Caffe's own types first, then its forks', then plugins'."""
    found = base.REGISTRY.get(name)
    module = MODULES.get(name) if found is None else None
    if module is not None:
        import_module(f"netcompile.layers.{module}")
        found = base.REGISTRY.get(name)
    if found is None:
        found = load().get(name)
    if found is None:
        _plugins()
        found = base.REGISTRY.get(name)
    return found


def roles_of(layer_type: str) -> tuple[str, ...]:
    """What the blobs of a layer type are, as far as its class says it whatever the layer's parameters."""
    cls = layer_class(layer_type) if layer_type else None
    return cls.stored if cls is not None else ()


def class_of(message: Message) -> type[Layer] | None:
    """The class of the layer that a `LayerParameter` describes: the one of its type.

    For a Python layer it is the one registered as ``@layer("Python:module.Class")`` for the module and class that it
    names, here or in a plugin; without one, that of all Python layers. One without bottoms becomes an input whatever
    its code does, so plugins, which take long to look for, are not asked for it.
    """
    name = str(message.get("type") or "")
    if name == "Python":
        code = message.get("python_param")
        own = f"Python:{code.get('module')}.{code.get('layer')}"
        if own in base.REGISTRY or own in MODULES or message.has("bottom"):
            found = layer_class(own)
            if found is not None:
                return found
    return layer_class(name) if ":" not in name else None  # no type of a file is called so


def near_types(name: str, hints: Hints) -> list[str]:
    """Known types of which `name` is most likely a misspelling."""
    return hints.nearest(name, [known for known in load() if ":" not in known], 3, 0.85)


def unknown_class(name: str) -> type[Layer]:
    """A class that stands for an unknown layer (``--allow-unknown``); its code raises where it is reached."""
    return type("UnknownOfType", (Unknown,), {"type": name, "__slots__": (), "arity": Arity((0, None), (0, None))})
