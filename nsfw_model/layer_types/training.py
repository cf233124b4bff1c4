"""Layers that feed a network in training, or measure it. Conversion leaves them out; a prototxt must not have them.

Caffe's data_layer.cpp, accuracy_layer.cpp and so on. `transform_param` of a data source says how large a
picture is, so these messages are read, and nothing in them is an error.
"""

from nsfw_model.layer_types.record import LayerType, Settings

ACCURACY = Settings(
    "accuracy_param",
    102,
    """
message AccuracyParameter {
  optional uint32 top_k = 1;
  optional int32 axis = 2;
  optional int32 ignore_label = 3;
}
""",
    v1_number=27,
)
DATA = Settings(
    "data_param",
    107,
    """
message DataParameter {
  enum DB {
    LEVELDB = 0;
    LMDB = 1;
  }
  optional string source = 1;
  optional float scale = 2;
  optional string mean_file = 3;
  optional uint32 batch_size = 4;
  optional uint32 crop_size = 5;
  optional bool mirror = 6;
  optional uint32 rand_skip = 7;
  optional DB backend = 8;
  optional bool force_encoded_color = 9;
  optional uint32 prefetch = 10;
}
""",
    v1_number=11,
)
DUMMY_DATA = Settings(
    "dummy_data_param",
    109,
    """
message DummyDataParameter {
  repeated FillerParameter data_filler = 1;
  repeated BlobShape shape = 6;
  repeated uint32 num = 2;
  repeated uint32 channels = 3;
  repeated uint32 height = 4;
  repeated uint32 width = 5;
}
""",
    v1_number=26,
)
HDF5_DATA = Settings(
    "hdf5_data_param",
    112,
    """
message HDF5DataParameter {
  optional string source = 1;
  optional uint32 batch_size = 2;
  optional bool shuffle = 3;
}
""",
    v1_number=13,
)
HDF5_OUTPUT = Settings(
    "hdf5_output_param",
    113,
    """
message HDF5OutputParameter {
  optional string file_name = 1;
}
""",
    v1_number=14,
)
IMAGE_DATA = Settings(
    "image_data_param",
    115,
    """
message ImageDataParameter {
  optional string source = 1;
  optional float scale = 2;
  optional string mean_file = 3;
  optional uint32 batch_size = 4;
  optional uint32 crop_size = 5;
  optional bool mirror = 6;
  optional uint32 rand_skip = 7;
  optional bool shuffle = 8;
  optional uint32 new_height = 9;
  optional uint32 new_width = 10;
  optional bool is_color = 11 [default = true];
  optional string root_folder = 12;
}
""",
    v1_number=15,
)
MEMORY_DATA = Settings(
    "memory_data_param",
    119,
    """
message MemoryDataParameter {
  optional uint32 batch_size = 1;
  optional uint32 channels = 2;
  optional uint32 height = 3;
  optional uint32 width = 4;
}
""",
    v1_number=22,
)
WINDOW_DATA = Settings(
    "window_data_param",
    129,
    """
message WindowDataParameter {
  optional string source = 1;
  optional float scale = 2;
  optional string mean_file = 3;
  optional uint32 batch_size = 4;
  optional uint32 crop_size = 5;
  optional bool mirror = 6;
  optional float fg_threshold = 7;
  optional float bg_threshold = 8;
  optional float fg_fraction = 9;
  optional uint32 context_pad = 10;
  optional string crop_mode = 11;
  optional bool cache_images = 12;
  optional string root_folder = 13;
}
""",
    v1_number=20,
)

TYPES = [
    LayerType(name, settings=settings, v1=v1, training=True, bottoms=(0, None), tops=(0, None))
    for name, settings, v1 in (
        ("Accuracy", ACCURACY, ("ACCURACY", 1)),
        ("AnnotatedData", None, None),  # of the SSD fork
        ("Data", DATA, ("DATA", 5)),
        ("DummyData", DUMMY_DATA, ("DUMMY_DATA", 32)),
        ("HDF5Data", HDF5_DATA, ("HDF5_DATA", 9)),
        ("HDF5Output", HDF5_OUTPUT, ("HDF5_OUTPUT", 10)),
        ("ImageData", IMAGE_DATA, ("IMAGE_DATA", 12)),
        ("MemoryData", MEMORY_DATA, ("MEMORY_DATA", 29)),
        ("Silence", None, ("SILENCE", 36)),
        ("WindowData", WINDOW_DATA, ("WINDOW_DATA", 24)),
    )
]
