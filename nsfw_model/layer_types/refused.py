"""Layer types of Caffe that have no counterpart here: their files are read, and they are refused by name."""

from nsfw_model.layer_types.record import LayerType, Settings

ARGMAX = Settings(
    "argmax_param",
    103,
    """
message ArgMaxParameter {
  optional bool out_max_val = 1 [default = false];
  optional uint32 top_k = 2 [default = 1];
  optional int32 axis = 3;
}
""",
    v1_number=23,
)
CONTRASTIVE_LOSS = Settings(
    "contrastive_loss_param",
    105,
    """
message ContrastiveLossParameter {
  optional float margin = 1;
  optional bool legacy_version = 2;
}
""",
    v1_number=40,
)
EMBED = Settings(
    "embed_param",
    137,
    """
message EmbedParameter {
  optional uint32 num_output = 1;
  optional uint32 input_dim = 2;
  optional bool bias_term = 3 [default = true];
  // training only
  optional FillerParameter weight_filler = 4;
  optional FillerParameter bias_filler = 5;
}
""",
)
HINGE_LOSS = Settings(
    "hinge_loss_param",
    114,
    """
message HingeLossParameter {
  enum Norm {
    L1 = 1;
    L2 = 2;
  }
  optional Norm norm = 1;
}
""",
    v1_number=29,
)
INFOGAIN_LOSS = Settings(
    "infogain_loss_param",
    116,
    """
message InfogainLossParameter {
  optional string source = 1;
  optional int32 axis = 2;
}
""",
    v1_number=16,
)
PARAMETER = Settings(
    "parameter_param",
    145,
    """
message ParameterParameter {
  optional BlobShape shape = 1;
}
""",
)
PYTHON = Settings(
    "python_param",
    130,
    """
message PythonParameter {
  optional string module = 1;
  optional string layer = 2;
  optional string param_str = 3;
  optional bool share_in_parallel = 4;
}
""",
)
RECURRENT = Settings(
    "recurrent_param",
    146,
    """
message RecurrentParameter {
  optional uint32 num_output = 1;
  optional bool expose_hidden = 5;
  // training only
  optional FillerParameter weight_filler = 2;
  optional FillerParameter bias_filler = 3;
  optional bool debug_info = 4;
}
""",
)
REDUCTION = Settings(
    "reduction_param",
    136,
    """
message ReductionParameter {
  enum ReductionOp {
    SUM = 1;
    ASUM = 2;
    SUMSQ = 3;
    MEAN = 4;
  }
  optional ReductionOp operation = 1 [default = SUM];
  optional int32 axis = 2 [default = 0];
  optional float coeff = 3 [default = 1];
}
""",
)
SPP = Settings(
    "spp_param",
    132,
    """
message SPPParameter {
  enum PoolMethod {
    MAX = 0;
    AVE = 1;
    STOCHASTIC = 2;
  }
  optional uint32 pyramid_height = 1;
  optional PoolMethod pool = 2 [default = MAX];
  // training only
  optional Engine engine = 6;
}
""",
)
TILE = Settings(
    "tile_param",
    138,
    """
message TileParameter {
  optional int32 axis = 1 [default = 1];
  optional int32 tiles = 2;
}
""",
)

_LOSS = "it is a loss, which only training needs"
_SEQUENCE = "it is for sequences, not for pictures"
_BATCH = "it mixes the pictures of a batch"
_RARE = "no classifier of pictures that we know has one"

TYPES = [
    LayerType(name, settings=settings, v1=v1, refused=why)
    for name, settings, v1, why in (
        ("ArgMax", ARGMAX, ("ARGMAX", 30), "it gives the number of a class, not a score"),
        ("BatchReindex", None, None, _BATCH),
        ("ContrastiveLoss", CONTRASTIVE_LOSS, ("CONTRASTIVE_LOSS", 37), _LOSS),
        ("Embed", EMBED, None, _SEQUENCE),
        ("EuclideanLoss", None, ("EUCLIDEAN_LOSS", 7), _LOSS),
        ("Filter", None, None, _BATCH),
        ("HingeLoss", HINGE_LOSS, ("HINGE_LOSS", 28), _LOSS),
        ("Im2col", None, ("IM2COL", 11), _RARE),
        ("InfogainLoss", INFOGAIN_LOSS, ("INFOGAIN_LOSS", 13), _LOSS),
        ("LSTM", RECURRENT, None, _SEQUENCE),
        ("MultinomialLogisticLoss", None, ("MULTINOMIAL_LOGISTIC_LOSS", 16), _LOSS),
        ("Parameter", PARAMETER, None, _RARE),
        ("Python", PYTHON, None, "what it computes is a program, which is not in the file"),
        ("RNN", RECURRENT, None, _SEQUENCE),
        ("Reduction", REDUCTION, None, _RARE),
        ("SPP", SPP, None, _RARE),
        ("SigmoidCrossEntropyLoss", None, ("SIGMOID_CROSS_ENTROPY_LOSS", 27), _LOSS),
        ("Tile", TILE, None, _RARE),
    )
]
