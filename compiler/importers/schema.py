# SPDX-License-Identifier: Apache-2.0
"""The TFLite file format as data: tables, enums and unions, for the reader and the writer.

Source: `tensorflow/compiler/mlir/lite/schema/schema.fbs` of TensorFlow. A table is a list of fields in slot order; the
slot of a field never changes once published, so a newer file is still read correctly, without its new fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

FILE_IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3

#: Scalar types of the schema: the `struct` format, its size in bytes.
SCALARS: Mapping[str, tuple[str, int]] = {
    "bool": ("<B", 1),
    "byte": ("<b", 1),
    "ubyte": ("<B", 1),
    "ushort": ("<H", 2),
    "int": ("<i", 4),
    "uint": ("<I", 4),
    "long": ("<q", 8),
    "ulong": ("<Q", 8),
    "float": ("<f", 4),
}


@dataclass(frozen=True)
class Field:
    """One field of a table.

    Attributes:
        name: the field's name.
        slot: its position in the vtable, from 0.
        type: a scalar of :data:`SCALARS`, `string`, `union` (its type is in the field before), `[element]` or a table.
        default: the value of an absent scalar.
    """

    name: str
    slot: int
    type: str
    default: int | float | bool = 0

    @property
    def element(self) -> str:
        """The type of the elements of a vector, `""` when the field is no vector."""
        return self.type[1:-1] if self.type.startswith("[") else ""

    @property
    def nothing(self) -> int | float | bool | str | tuple[()]:
        """The value when the field is absent from a table of options."""
        if self.element:
            return ()
        return "" if self.type == "string" else self.default


def parse_tables(text: str) -> Mapping[str, Mapping[str, Field]]:
    """Tables from lines `Name: field:type=default ...`; a deeper-indented line continues the one before; `-` is a
    slot that is no longer used."""
    tables: dict[str, dict[str, Field]] = {}
    for line in text.replace("\n        ", " ").split("\n"):
        if line.strip():
            name, fields = line.strip().split(":", 1)
            parsed = (_field(slot, item) for slot, item in enumerate(fields.split()))
            tables[name] = {field.name: field for field in parsed if field is not None}
    return tables


def _field(slot: int, item: str) -> Field | None:
    if item == "-":
        return None
    name, kind = item.split(":")
    kind, _, default = kind.partition("=")
    if kind == "bool":
        return Field(name, slot, kind, default == "true")
    if kind == "float":
        return Field(name, slot, kind, float(default or 0))
    return Field(name, slot, kind, int(default or 0))


_CORE = """
    Model: version:uint operator_codes:[OperatorCode] subgraphs:[SubGraph] description:string buffers:[Buffer]
        metadata_buffer:[int] metadata:[Metadata] signature_defs:[SignatureDef]
    OperatorCode: deprecated_builtin_code:byte custom_code:string version:int=1 builtin_code:int
    SubGraph: tensors:[Tensor] inputs:[int] outputs:[int] operators:[Operator] name:string
    Tensor: shape:[int] type:byte buffer:uint name:string quantization:QuantizationParameters is_variable:bool
        sparsity:SparsityParameters shape_signature:[int] has_rank:bool
    QuantizationParameters: min:[float] max:[float] scale:[float] zero_point:[long] details_type:ubyte
        details:union quantized_dimension:int
    SparsityParameters: traversal_order:[int] block_map:[int]
    Operator: opcode_index:uint inputs:[int] outputs:[int] builtin_options_type:ubyte builtin_options:union
        custom_options:[ubyte] custom_options_format:byte mutating_variable_inputs:[bool] intermediates:[int]
        large_custom_options_offset:ulong large_custom_options_size:ulong
    Buffer: data:[ubyte] offset:ulong size:ulong
    Metadata: name:string buffer:uint
    SignatureDef: inputs:[TensorMap] outputs:[TensorMap] signature_key:string - subgraph_index:uint
    TensorMap: name:string tensor_index:uint
"""

# Options of the builtin operators. Tables without fields are left out here and added below from the union.
_OPTIONS = """
    Conv2DOptions: padding:byte stride_w:int stride_h:int fused_activation_function:byte dilation_w_factor:int=1
        dilation_h_factor:int=1 quantized_bias_type:byte
    DepthwiseConv2DOptions: padding:byte stride_w:int stride_h:int depth_multiplier:int
        fused_activation_function:byte dilation_w_factor:int=1 dilation_h_factor:int=1
    ConcatEmbeddingsOptions: num_channels:int num_columns_per_channel:[int] embedding_dim_per_channel:[int]
    LSHProjectionOptions: type:byte
    Pool2DOptions: padding:byte stride_w:int stride_h:int filter_width:int filter_height:int
        fused_activation_function:byte
    SVDFOptions: rank:int fused_activation_function:byte asymmetric_quantize_inputs:bool
    RNNOptions: fused_activation_function:byte asymmetric_quantize_inputs:bool
    FullyConnectedOptions: fused_activation_function:byte weights_format:byte keep_num_dims:bool
        asymmetric_quantize_inputs:bool quantized_bias_type:byte
    SoftmaxOptions: beta:float
    ConcatenationOptions: axis:int fused_activation_function:byte
    AddOptions: fused_activation_function:byte pot_scale_int16:bool=true
    L2NormOptions: fused_activation_function:byte
    LocalResponseNormalizationOptions: radius:int bias:float alpha:float beta:float
    LSTMOptions: fused_activation_function:byte cell_clip:float proj_clip:float kernel_type:byte
        asymmetric_quantize_inputs:bool
    ResizeBilinearOptions: - - align_corners:bool half_pixel_centers:bool
    CallOptions: subgraph:uint
    ReshapeOptions: new_shape:[int]
    SkipGramOptions: ngram_size:int max_skip_size:int include_all_ngrams:bool
    SpaceToDepthOptions: block_size:int
    EmbeddingLookupSparseOptions: combiner:byte
    MulOptions: fused_activation_function:byte
    GatherOptions: axis:int batch_dims:int
    ReducerOptions: keep_dims:bool
    SubOptions: fused_activation_function:byte pot_scale_int16:bool=true
    DivOptions: fused_activation_function:byte
    SqueezeOptions: squeeze_dims:[int]
    SequenceRNNOptions: time_major:bool fused_activation_function:byte asymmetric_quantize_inputs:bool
    StridedSliceOptions: begin_mask:int end_mask:int ellipsis_mask:int new_axis_mask:int shrink_axis_mask:int
        offset:bool
    SplitOptions: num_splits:int
    CastOptions: in_data_type:byte out_data_type:byte
    ArgMaxOptions: output_type:byte
    TransposeConvOptions: padding:byte stride_w:int stride_h:int fused_activation_function:byte
        quantized_bias_type:byte
    SparseToDenseOptions: validate_indices:bool
    ShapeOptions: out_type:byte
    ArgMinOptions: output_type:byte
    FakeQuantOptions: min:float max:float num_bits:int narrow_range:bool
    PackOptions: values_count:int axis:int
    OneHotOptions: axis:int
    UnpackOptions: num:int axis:int
    BidirectionalSequenceLSTMOptions: fused_activation_function:byte cell_clip:float proj_clip:float
        merge_outputs:bool time_major:bool=true asymmetric_quantize_inputs:bool
    BidirectionalSequenceRNNOptions: time_major:bool fused_activation_function:byte merge_outputs:bool
        asymmetric_quantize_inputs:bool
    UnidirectionalSequenceLSTMOptions: fused_activation_function:byte cell_clip:float proj_clip:float
        time_major:bool asymmetric_quantize_inputs:bool diagonal_recurrent_tensors:bool
    ResizeNearestNeighborOptions: align_corners:bool half_pixel_centers:bool
    LeakyReluOptions: alpha:float
    MirrorPadOptions: mode:byte
    SplitVOptions: num_splits:int
    UniqueOptions: idx_out_type:byte=2
    ReverseSequenceOptions: seq_dim:int batch_dim:int
    IfOptions: then_subgraph_index:int else_subgraph_index:int
    WhileOptions: cond_subgraph_index:int body_subgraph_index:int
    DepthToSpaceOptions: block_size:int
    BatchMatMulOptions: adj_x:bool adj_y:bool asymmetric_quantize_inputs:bool
    CumsumOptions: exclusive:bool reverse:bool
    CallOnceOptions: init_subgraph_index:int
    Conv3DOptions: padding:byte stride_d:int stride_w:int stride_h:int fused_activation_function:byte
        dilation_d_factor:int=1 dilation_w_factor:int=1 dilation_h_factor:int=1
    HashtableOptions: table_id:int key_dtype:byte value_dtype:byte
    VarHandleOptions: container:string shared_name:string
    RandomOptions: seed:long seed2:long
    BucketizeOptions: boundaries:[float]
    GeluOptions: approximate:bool
"""

_BUILTIN_OPTIONS = """
    NONE Conv2DOptions DepthwiseConv2DOptions ConcatEmbeddingsOptions LSHProjectionOptions Pool2DOptions
    SVDFOptions RNNOptions FullyConnectedOptions SoftmaxOptions ConcatenationOptions AddOptions L2NormOptions
    LocalResponseNormalizationOptions LSTMOptions ResizeBilinearOptions CallOptions ReshapeOptions SkipGramOptions
    SpaceToDepthOptions EmbeddingLookupSparseOptions MulOptions PadOptions GatherOptions BatchToSpaceNDOptions
    SpaceToBatchNDOptions TransposeOptions ReducerOptions SubOptions DivOptions SqueezeOptions SequenceRNNOptions
    StridedSliceOptions ExpOptions TopKV2Options SplitOptions LogSoftmaxOptions CastOptions DequantizeOptions
    MaximumMinimumOptions ArgMaxOptions LessOptions NegOptions PadV2Options GreaterOptions GreaterEqualOptions
    LessEqualOptions SelectOptions SliceOptions TransposeConvOptions SparseToDenseOptions TileOptions
    ExpandDimsOptions EqualOptions NotEqualOptions ShapeOptions PowOptions ArgMinOptions FakeQuantOptions
    PackOptions LogicalOrOptions OneHotOptions LogicalAndOptions LogicalNotOptions UnpackOptions FloorDivOptions
    SquareOptions ZerosLikeOptions FillOptions BidirectionalSequenceLSTMOptions BidirectionalSequenceRNNOptions
    UnidirectionalSequenceLSTMOptions FloorModOptions RangeOptions ResizeNearestNeighborOptions LeakyReluOptions
    SquaredDifferenceOptions MirrorPadOptions AbsOptions SplitVOptions UniqueOptions ReverseV2Options AddNOptions
    GatherNdOptions CosOptions WhereOptions RankOptions ReverseSequenceOptions MatrixDiagOptions QuantizeOptions
    MatrixSetDiagOptions HardSwishOptions IfOptions WhileOptions DepthToSpaceOptions NonMaxSuppressionV4Options
    NonMaxSuppressionV5Options ScatterNdOptions SelectV2Options DensifyOptions SegmentSumOptions
    BatchMatMulOptions CumsumOptions CallOnceOptions BroadcastToOptions Rfft2dOptions Conv3DOptions
    HashtableOptions HashtableFindOptions HashtableImportOptions HashtableSizeOptions VarHandleOptions
    ReadVariableOptions AssignVariableOptions RandomOptions BucketizeOptions GeluOptions DynamicUpdateSliceOptions
    UnsortedSegmentProdOptions UnsortedSegmentMaxOptions UnsortedSegmentMinOptions UnsortedSegmentSumOptions
    ATan2Options SignOptions BitcastOptions BitwiseXorOptions RightShiftOptions
"""

#: The union `BuiltinOptions`: position = number in the file.
BUILTIN_OPTIONS: tuple[str, ...] = tuple(_BUILTIN_OPTIONS.split())

TABLES: Mapping[str, Mapping[str, Field]] = {
    **{name: {} for name in BUILTIN_OPTIONS[1:]},
    **parse_tables(_CORE),
    **parse_tables(_OPTIONS),
}

_BUILTIN_OPERATORS = """
    ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE EMBEDDING_LOOKUP FLOOR
    FULLY_CONNECTED HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION LOGISTIC
    LSH_PROJECTION LSTM MAX_POOL_2D MUL RELU RELU_N1_TO_1 RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH
    SVDF TANH CONCAT_EMBEDDINGS SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD UNIDIRECTIONAL_SEQUENCE_RNN
    GATHER BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND TRANSPOSE MEAN SUB DIV SQUEEZE UNIDIRECTIONAL_SEQUENCE_LSTM
    STRIDED_SLICE BIDIRECTIONAL_SEQUENCE_RNN EXP TOPK_V2 SPLIT LOG_SOFTMAX DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM
    CAST PRELU MAXIMUM ARG_MAX MINIMUM LESS NEG PADV2 GREATER GREATER_EQUAL LESS_EQUAL SELECT SLICE SIN
    TRANSPOSE_CONV SPARSE_TO_DENSE TILE EXPAND_DIMS EQUAL NOT_EQUAL LOG SUM SQRT RSQRT SHAPE POW ARG_MIN
    FAKE_QUANT REDUCE_PROD REDUCE_MAX PACK LOGICAL_OR ONE_HOT LOGICAL_AND LOGICAL_NOT UNPACK REDUCE_MIN FLOOR_DIV
    REDUCE_ANY SQUARE ZEROS_LIKE FILL FLOOR_MOD RANGE RESIZE_NEAREST_NEIGHBOR LEAKY_RELU SQUARED_DIFFERENCE
    MIRROR_PAD ABS SPLIT_V UNIQUE CEIL REVERSE_V2 ADD_N GATHER_ND COS WHERE RANK ELU REVERSE_SEQUENCE MATRIX_DIAG
    QUANTIZE MATRIX_SET_DIAG ROUND HARD_SWISH IF WHILE NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 SCATTER_ND
    SELECT_V2 DENSIFY SEGMENT_SUM BATCH_MATMUL PLACEHOLDER_FOR_GREATER_OP_CODES CUMSUM CALL_ONCE BROADCAST_TO
    RFFT2D CONV_3D IMAG REAL COMPLEX_ABS HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE REDUCE_ALL
    CONV_3D_TRANSPOSE VAR_HANDLE READ_VARIABLE ASSIGN_VARIABLE BROADCAST_ARGS RANDOM_STANDARD_NORMAL BUCKETIZE
    RANDOM_UNIFORM MULTINOMIAL GELU DYNAMIC_UPDATE_SLICE RELU_0_TO_1 UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_MAX
    UNSORTED_SEGMENT_SUM ATAN2 UNSORTED_SEGMENT_MIN SIGN BITCAST BITWISE_XOR RIGHT_SHIFT STABLEHLO_LOGISTIC
    STABLEHLO_ADD STABLEHLO_DIVIDE STABLEHLO_MULTIPLY STABLEHLO_MAXIMUM STABLEHLO_RESHAPE STABLEHLO_CLAMP
    STABLEHLO_CONCATENATE STABLEHLO_BROADCAST_IN_DIM STABLEHLO_CONVOLUTION STABLEHLO_SLICE STABLEHLO_CUSTOM_CALL
    STABLEHLO_REDUCE STABLEHLO_ABS STABLEHLO_AND STABLEHLO_COSINE STABLEHLO_EXPONENTIAL STABLEHLO_FLOOR
    STABLEHLO_LOG STABLEHLO_MINIMUM STABLEHLO_NEGATE STABLEHLO_OR STABLEHLO_POWER STABLEHLO_REMAINDER
    STABLEHLO_RSQRT STABLEHLO_SELECT STABLEHLO_SUBTRACT STABLEHLO_TANH STABLEHLO_SCATTER STABLEHLO_COMPARE
    STABLEHLO_CONVERT STABLEHLO_DYNAMIC_SLICE STABLEHLO_DYNAMIC_UPDATE_SLICE STABLEHLO_PAD STABLEHLO_IOTA
    STABLEHLO_DOT_GENERAL STABLEHLO_REDUCE_WINDOW STABLEHLO_SORT STABLEHLO_WHILE STABLEHLO_GATHER
    STABLEHLO_TRANSPOSE DILATE STABLEHLO_RNG_BIT_GENERATOR REDUCE_WINDOW STABLEHLO_COMPOSITE STABLEHLO_SHIFT_LEFT
    STABLEHLO_CBRT STABLEHLO_CASE
"""

#: The enum `BuiltinOperator`: position = number in the file.
BUILTIN_OPERATORS: tuple[str, ...] = tuple(_BUILTIN_OPERATORS.split())

CUSTOM = BUILTIN_OPERATORS.index("CUSTOM")

#: Codes above this one do not fit in `OperatorCode.deprecated_builtin_code`.
PLACEHOLDER_FOR_GREATER_OP_CODES = 127

_SHARED_OPTIONS: Mapping[str, str] = {
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "L2_POOL_2D": "Pool2DOptions",
    "L2_NORMALIZATION": "L2NormOptions",
    "UNIDIRECTIONAL_SEQUENCE_RNN": "SequenceRNNOptions",
    "MEAN": "ReducerOptions",
    "SUM": "ReducerOptions",
    "REDUCE_PROD": "ReducerOptions",
    "REDUCE_MAX": "ReducerOptions",
    "REDUCE_MIN": "ReducerOptions",
    "REDUCE_ANY": "ReducerOptions",
    "REDUCE_ALL": "ReducerOptions",
    "MAXIMUM": "MaximumMinimumOptions",
    "MINIMUM": "MaximumMinimumOptions",
    "CONV_3D_TRANSPOSE": "Conv3DOptions",
    "RANDOM_STANDARD_NORMAL": "RandomOptions",
    "RANDOM_UNIFORM": "RandomOptions",
    "MULTINOMIAL": "RandomOptions",
}


def _options_of_operators() -> Mapping[str, str]:
    """By name (`CONV_2D` has `Conv2DOptions`), but for the exceptions above. Operators without options are absent."""
    by_name = {table.lower().removesuffix("options"): table for table in BUILTIN_OPTIONS[1:]}
    named = {op: by_name.get(op.replace("_", "").lower(), "") for op in BUILTIN_OPERATORS}
    return {op: table for op, table in {**named, **_SHARED_OPTIONS}.items() if table}


#: The options table of each builtin operator that has one.
OPTIONS_OF: Mapping[str, str] = _options_of_operators()

_TENSOR_TYPES = """
    float32 float16 int32 uint8 int64 string bool int16 complex64 int8 float64 complex128 uint64 resource variant
    uint32 uint16 int4 bfloat16 int2 uint4 float8_e4m3fn float8_e5m2
"""

#: The enum `TensorType`: position = number in the file. Lower case, as in :data:`tinyc.graph.DTYPES`.
TENSOR_TYPES: tuple[str, ...] = tuple(_TENSOR_TYPES.split())

#: The enum `Padding`.
PADDING: tuple[str, ...] = ("SAME", "VALID")

#: The enum `ActivationFunctionType`.
ACTIVATIONS: tuple[str, ...] = ("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT")
