"""Layer types of Caffe's forks that are known and cannot be computed here, each with the reason."""

from __future__ import annotations

_RANDOM = "it draws random augmentations for training; a deploy net does without it"
_LOSS = "it is a training loss of a fork; inference does without it"
_METRIC = "it only counts hits against labels"
_WEAK_LABELS = "it moves scores by image labels while DeepLab trains on weak labels"
_HARD_EXAMPLES = "it serves online mining of hard examples, a part of training"
_BOXES = "it compares boxes with labelled ones, to count hits"
_CTC = "alignment over sequences, from the warp-ctc library; forks differ in label format and blank"

# Losses and metrics: they vanish at inference; asked for all the same, they are refused with this reason.
MEASURES: dict[str, str] = {
    "BinAccuracy": _METRIC,
    "BoxAnnotatorOHEM": "it picks hard examples from losses and labels, a part of R-FCN's training",
    "CTCLoss": _CTC,
    "CenterLoss": _LOSS,
    "ConfusionMatrix": _METRIC,
    "CtcLoss": _CTC,
    "DetectionEvaluate": _BOXES,
    "DetectionLoss": "YOLO's first loss matches boxes with labels while it trains",
    "EltwiseAccuracy": _METRIC,
    "EvalDetection": _BOXES,
    "L1Loss": _LOSS,
    "LabelsequenceAccuracy": _METRIC,
    "LpqLoss": _LOSS,
    "RedAccuracy": _METRIC,
    "RedSoftmaxLoss": _LOSS,
    "RegionLoss": "YOLO's loss matches boxes with labels and keeps state between iterations",
    "SegAccuracy": _METRIC,
    "SmoothL1LossOHEM": _HARD_EXAMPLES,
    "SoftmaxWithLossOHEM": _HARD_EXAMPLES,
    "TripletLoss": "forks of this name differ in their distance and in which bottoms they take",
    "VoxelCustomLoss": _LOSS,
    "VoxelSoftmaxLoss": _LOSS,
    "VoxelWiseSoftmaxLoss": _LOSS,
    "WarpCTC": _CTC,
    "WassersteinLoss": "it solves a transport problem with a ground metric from a file",
}

# Python layers of py-faster-rcnn and R-FCN, by module and class, that only training needs.
PYTHON_TRAINING: dict[str, str] = {
    "rpn.anchor_target_layer.AnchorTargetLayer": "it draws anchors at random and labels them by the true boxes",
    "rpn.anchor_target_layer_ohem.AnchorTargetLayer": "it labels anchors by the true boxes",
    "rpn.proposal_target_layer.ProposalTargetLayer": "it draws proposals at random and labels them by the true boxes",
    "rpn.proposal_target_layer_ohem.ProposalTargetLayer": "it labels proposals by the true boxes",
}

KNOWN_UNSUPPORTED: dict[str, str] = {
    "AdaptiveBiasChannel": _WEAK_LABELS,
    "BiasChannel": _WEAK_LABELS,
    "ColorConv": "a colour conversion of one fork, whose source was not found",
    "DenseCRF": "it runs a dense CRF library (Krähenbühl's), whose numbers are not settled here",
    "DominantChannel": "a step of DeepLab's training on weak labels",
    "Downsample": "FlowNet's weighted shrinking exists for the GPU only, to make training targets",
    "FlowAugmentation": _RANDOM,
    "GenerateAugmentationParameters": _RANDOM,
    "LS": "a solver of one branch that trains by least squares; its source was not found",
    "MatRead": "it reads Matlab files that only their owner has",
    "SaliencyPooling": "a pooling of one branch, steered by a second blob; its source was not found",
    "SparseInnerProduct": "it multiplies sparse matrices, for which blobs have no place",
    "TopK": "a sparse autoencoder's branch, whose source was not found",
    "UniqueLabel": "it gathers an image's labels while DeepLab trains on weak labels",
}

# Types that only some fork has and that no class here reads: whose they are, for the message that names them.
FORKS: dict[str, str] = {
    "BoxOutput": "MS-CNN's fork has it",
    "DeformableConvolution": "forks for deformable convolutional networks have it",
    "ImResize": "OpenPose's fork has it",
    "Nms": "OpenPose's fork has it",
    "ROIWarping": "MNC's fork has it",
    "Region": "several YOLO forks have a layer of this name, and no two agree",
    "Resize": "several forks have a layer of this name, and they differ",
    "SpatialTransformer": "forks for spatial transformer networks have it, and they differ",
}


def reason(type_name: str) -> str | None:
    """Why a known layer type of a fork is not supported; None for a type that nobody here has heard of.

    >>> reason("SparseInnerProduct")
    'it multiplies sparse matrices, for which blobs have no place'
    >>> reason("Convolutoin") is None
    True
    """
    return KNOWN_UNSUPPORTED.get(type_name) or MEASURES.get(type_name)
