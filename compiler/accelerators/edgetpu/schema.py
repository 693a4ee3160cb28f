# SPDX-License-Identifier: Apache-2.0
"""The DarwiNN package format as data: its flatbuffer tables and enums.

Source: `executable/executable.fbs` of google-coral/libedgetpu. A `Range` is a struct of two int32; a vector of them is
read as one of 64-bit numbers. The enums are 16 bits wide and never negative.
"""

from __future__ import annotations

from ...importers.schema import parse_tables

FILE_IDENTIFIER = b"DWN1"

TABLES = parse_tables("""
    Meta: desc:ushort batch:int name:string position:ushort
    FieldOffset: meta:Meta offset_bit:int
    InstructionBitstream: bitstream:[ubyte] field_offsets:[FieldOffset]
    DmaDescriptorHint: meta:Meta offset_in_bytes:int size_in_bytes:int
    InterruptHint: type:ushort
    FenceHint:
    InstructionHint: instruction_chunk_index:int
    DmaHint: any_hint_type:ubyte any_hint:union direction:ushort
    DmaHints: hints:[DmaHint] fully_deterministic:bool
    OutputLayout: y_coordinate_to_linear_tile_id_map:[int] x_coordinate_to_linear_tile_id_map:[int]
        linearized_tile_byte_offset:[int] x_coordinate_to_local_byte_offset:[int]
        y_coordinate_to_local_y_offset:[int] x_coordinate_to_local_y_row_size:[int]
    TensorShape: dimension:[ulong]
    TensorLayout: shape:TensorShape stride:[int]
    OutputShapeInfo: slice_layout:[TensorLayout] slice_offset:[int]
    NumericsConstants: zero_point:int dequantization_factor:float
    OutputLayer: layout:OutputLayout data_type:ushort shape_info:OutputShapeInfo
    Layer: name:string size_bytes:int y_dim:int x_dim:int z_dim:int numerics:NumericsConstants data_type:ushort
        any_layer_type:ubyte any_layer:union execution_count_per_inference:int=1 cache_on_dram:bool shape:TensorShape
    Executable: version:int name:string serialized_model:[ubyte] batch_size:int scratch_size_bytes:int
        instruction_bitstreams:[InstructionBitstream] parameters:[ubyte] dma_hints:DmaHints input_layers:[Layer]
        output_layers:[Layer] chip:string estimated_cycles:int used_narrow_memory_bytes_per_tile:int type:ushort
        parameter_caching_token:ulong use_tpu_dram_for_parameters:bool estimated_cycles_64bit:long
    MultiExecutable: serialized_executables:[string]
    InputLayer:
    SerializedPackage: serialized_package:[ubyte]
    Package: min_runtime_version:int serialized_multi_executable:[ubyte] signature:[ubyte] keypair_version:int
        compiler_version:string virtual_chip_id:int multi_chip_package:[SerializedPackage] model_identifier:string
""")

#: The enum `Description`: which base address a DMA or an instruction's immediate means.
BASES = ("output", "input", "parameters", "scratch")

#: The union `AnyHint`.
HINTS = ("NONE", "DmaDescriptorHint", "InstructionHint", "InterruptHint", "FenceHint")

#: The union `AnyLayer`.
ANY_LAYER = ("NONE", "OutputLayer", "InputLayer")

#: Interrupts of the scalar core.
INTERRUPTS = 4
