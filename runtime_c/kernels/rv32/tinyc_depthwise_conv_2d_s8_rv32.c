/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#if !defined(__riscv_mul) || __riscv_xlen != 32
#error "tinyc_depthwise_conv_2d_s8_rv32.c needs RV32 with multiplication: compile with -march=rv32im, rv32imc or the like"
#endif

#define TAPS 3
#define RECORD 6 /* words per output channel */
#define GROUP 4  /* channels that are copied together */

/* One band of one output channel. */
typedef struct {
    const int8_t *plane; /* the input, place after place; of each place the band's lines */
    int32_t pitch;       /* bytes from a place to the next one */
    int8_t *output;
    int32_t place_step;
    int32_t line_step;
    int32_t lines;
    int32_t line_size; /* output places * place_step */
    int32_t stride;    /* + 2 when a negative sum gives `low` */
    int32_t low;
    int32_t high;
    int32_t negative;
    int32_t sum_shift;
} request;

/* Three lines of the next place. */
#define LOAD                   \
    "lb a2, 0(a0)\n\t"         \
    "lb a3, 1(a0)\n\t"         \
    "lb a4, 2(a0)\n\t"         \
    "add a0, a0, a1\n\t"
#define ADD(sum, w0, w1, w2)                                       \
    "mul t0, a2, " w0 "\n\t" "add " sum ", " sum ", t0\n\t"        \
    "mul t0, a3, " w1 "\n\t" "add " sum ", " sum ", t0\n\t"        \
    "mul t0, a4, " w2 "\n\t" "add " sum ", " sum ", t0\n\t"
#define BEGIN(sum)                                                 \
    "mul " sum ", a2, s0\n\t"                                      \
    "mul t0, a3, s1\n\t" "add " sum ", " sum ", t1\n\t"            \
    "add " sum ", " sum ", t0\n\t"                                 \
    "mul t0, a4, s2\n\t" "add " sum ", " sum ", t0\n\t"
#define MIDDLE(sum) ADD(sum, "s3", "s4", "s5")
#define END(sum) ADD(sum, "s6", "s7", "s8")

#define OUTPUT_RELU(v)                \
    "bgez " v ", 7f\n\t"              \
    "mv " v ", a7\n\t"                \
    "j 8f\n"                          \
    "7:\n\t"                          \
    "mulhsu " v ", " v ", t2\n\t"     \
    "add " v ", " v ", t3\n\t"        \
    "sra " v ", " v ", t4\n\t"        \
    "ble " v ", t5, 8f\n\t"           \
    "mv " v ", t5\n"                  \
    "8:\n\t"                          \
    "sb " v ", 0(a5)\n\t"             \
    "add a5, a5, a6\n\t"

/* TFLM rounds half away from zero: a negative sum loses one unit of the high product, `negative` in ra. */
#define OUTPUT(v)                     \
    "bltz " v ", 7f\n\t"              \
    "mulhsu " v ", " v ", t2\n\t"     \
    "j 8f\n"                          \
    "7:\n\t"                          \
    "mulhsu " v ", " v ", t2\n\t"     \
    "add " v ", " v ", ra\n"          \
    "8:\n\t"                          \
    "add " v ", " v ", t3\n\t"        \
    "sra " v ", " v ", t4\n\t"        \
    "bge " v ", a7, 7f\n\t"           \
    "mv " v ", a7\n"                  \
    "7:\n\t"                          \
    "ble " v ", t5, 8f\n\t"           \
    "mv " v ", t5\n"                  \
    "8:\n\t"                          \
    "sb " v ", 0(a5)\n\t"             \
    "add a5, a5, a6\n\t"

/* Each place ends one sum, goes on with the next one and begins the one after that. */
#define PLACE(output, first, second, third) LOAD END(first) MIDDLE(second) BEGIN(third) output(first)

#define STRIDE_1(output)                          \
    LOAD BEGIN("s9")                              \
    LOAD MIDDLE("s9") BEGIN("s10")                \
    "1:\n\t"                                      \
    PLACE(output, "s9", "s10", "s11")             \
    "beq a5, t6, 90f\n\t"                         \
    PLACE(output, "s10", "s11", "s9")             \
    "beq a5, t6, 90f\n\t"                         \
    PLACE(output, "s11", "s9", "s10")             \
    "bne a5, t6, 1b\n\t"                          \
    "j 90f\n"

#define STRIDE_2(output)                          \
    LOAD BEGIN("s9")                              \
    "1:\n\t"                                      \
    LOAD MIDDLE("s9")                             \
    LOAD END("s9") BEGIN("s10")                   \
    output("s9")                                  \
    "beq a5, t6, 90f\n\t"                         \
    LOAD MIDDLE("s10")                            \
    LOAD END("s10") BEGIN("s9")                   \
    output("s10")                                 \
    "bne a5, t6, 1b\n\t"                          \
    "j 90f\n"

#define WEIGHT(w, at) "lb " w ", " at "(t6)\n\t" "sll " w ", " w ", t0\n\t"

/* Written in assembly because it needs nearly all registers; compilers spill. */
static __attribute__((naked, noinline)) void band(const request *r __attribute__((unused)),
                                                  const int32_t *record __attribute__((unused))) {
    __asm volatile(
        "addi sp, sp, -80\n\t"
        "sw ra, 76(sp)\n\t"
        "sw s0, 72(sp)\n\t"
        "sw s1, 68(sp)\n\t"
        "sw s2, 64(sp)\n\t"
        "sw s3, 60(sp)\n\t"
        "sw s4, 56(sp)\n\t"
        "sw s5, 52(sp)\n\t"
        "sw s6, 48(sp)\n\t"
        "sw s7, 44(sp)\n\t"
        "sw s8, 40(sp)\n\t"
        "sw s9, 36(sp)\n\t"
        "sw s10, 32(sp)\n\t"
        "sw s11, 28(sp)\n\t"
        "mv t6, a1\n\t"
        "lw t0, 44(a0)\n\t"
        WEIGHT("s0", "0") WEIGHT("s1", "1") WEIGHT("s2", "2")
        WEIGHT("s3", "3") WEIGHT("s4", "4") WEIGHT("s5", "5")
        WEIGHT("s6", "6") WEIGHT("s7", "7") WEIGHT("s8", "8")
        "lb t4, 9(t6)\n\t"
        "lw t1, 12(t6)\n\t"
        "lw t2, 16(t6)\n\t"
        "lw t3, 20(t6)\n\t"
        "lw a1, 4(a0)\n\t"
        "lw a6, 12(a0)\n\t"
        "lw a7, 32(a0)\n\t"
        "lw t5, 36(a0)\n\t"
        "lw ra, 40(a0)\n\t"
        "lw a2, 0(a0)\n\t"
        "lw a3, 8(a0)\n\t"
        "lw a4, 20(a0)\n\t"
        "lw t0, 16(a0)\n\t"
        "lw t6, 24(a0)\n\t"
        "lw a5, 28(a0)\n\t"
        "sw a2, 0(sp)\n\t"
        "sw a3, 4(sp)\n\t"
        "sw a4, 8(sp)\n\t"
        "sw t0, 12(sp)\n\t"
        "sw t6, 16(sp)\n\t"
        "sw a5, 20(sp)\n"
        "10:\n\t"
        "lw a0, 0(sp)\n\t"
        "lw a5, 4(sp)\n\t"
        "lw t6, 16(sp)\n\t"
        "lw a2, 20(sp)\n\t"
        "add t6, t6, a5\n\t"
        "addi a2, a2, -2\n\t"
        "beqz a2, 20f\n\t"
        "bltz a2, 30f\n\t"
        "addi a2, a2, -1\n\t"
        "beqz a2, 40f\n\t"
        STRIDE_2(OUTPUT_RELU)
        "20:\n\t"
        STRIDE_2(OUTPUT)
        "30:\n\t"
        STRIDE_1(OUTPUT)
        "40:\n\t"
        STRIDE_1(OUTPUT_RELU)
        "90:\n\t"
        "lw a0, 0(sp)\n\t"
        "lw a5, 4(sp)\n\t"
        "lw a2, 8(sp)\n\t"
        "lw a3, 12(sp)\n\t"
        "lw a4, 20(sp)\n\t"
        "add a5, a5, a3\n\t"
        "addi a2, a2, -1\n\t"
        "andi a4, a4, 1\n\t"
        "xori a4, a4, 1\n\t"
        "addi a4, a4, 1\n\t" /* the stride: 1 for 1 and 3, 2 for 2 and 4 */
        "add a0, a0, a4\n\t"
        "sw a0, 0(sp)\n\t"
        "sw a5, 4(sp)\n\t"
        "sw a2, 8(sp)\n\t"
        "beqz a2, 91f\n\t"
        "j 10b\n"
        "91:\n\t"
        "lw ra, 76(sp)\n\t"
        "lw s0, 72(sp)\n\t"
        "lw s1, 68(sp)\n\t"
        "lw s2, 64(sp)\n\t"
        "lw s3, 60(sp)\n\t"
        "lw s4, 56(sp)\n\t"
        "lw s5, 52(sp)\n\t"
        "lw s6, 48(sp)\n\t"
        "lw s7, 44(sp)\n\t"
        "lw s8, 40(sp)\n\t"
        "lw s9, 36(sp)\n\t"
        "lw s10, 32(sp)\n\t"
        "lw s11, 28(sp)\n\t"
        "addi sp, sp, 80\n\t"
        "ret\n\t");
}

/* The part of a band that is inside the image: `count` lines of `places` places, from `source` to `plane`. */
typedef struct {
    const int8_t *source;
    int8_t *plane;
    int32_t line_step;
    int32_t place_step;
    int32_t lines;
    int32_t places;
    int32_t pitch;
    int32_t plane_size;
} inside;

/* Copies one channel. */
static void copy_1(const inside *in) {
    const int8_t *place = in->source;
    int8_t *to = in->plane;
    for (int32_t i = 0; i < in->places; i++) {
        const int8_t *from = place;
        int8_t *const end = to + in->lines;
        while (to != end) {
            *to++ = *from;
            from += in->line_step;
        }
        to += in->pitch - in->lines;
        place += in->place_step;
    }
}

/* Copies four channels, whose bytes are aligned words, to four planes. */
static void copy_4(const inside *in) {
    const int8_t *place = in->source;
    int8_t *to_0 = in->plane;
    int8_t *to_1 = to_0 + in->plane_size;
    int8_t *to_2 = to_1 + in->plane_size;
    int8_t *to_3 = to_2 + in->plane_size;
    const int32_t line_step = in->line_step;
    const int32_t gap = in->pitch - in->lines;
    for (int32_t i = 0; i < in->places; i++) {
        const int8_t *from = place;
        int8_t *const end = to_0 + in->lines;
        while (to_0 != end) {
            uint32_t four;
            __builtin_memcpy(&four, __builtin_assume_aligned(from, 4), 4);
            from += line_step;
            *to_0++ = (int8_t)four;
            *to_1++ = (int8_t)(four >> 8);
            *to_2++ = (int8_t)(four >> 16);
            *to_3++ = (int8_t)(four >> 24);
        }
        to_0 += gap;
        to_1 += gap;
        to_2 += gap;
        to_3 += gap;
        place += in->place_step;
    }
}

static inline int32_t largest(int32_t a, int32_t b) {
    return a > b ? a : b;
}

static inline int32_t smallest(int32_t a, int32_t b) {
    return a < b ? a : b;
}

/* The lines `first` to `first` + `r->lines` - 1 of all channels. */
static void lines(const tinyc_depthwise_conv_2d_lines_params *p, request *r, int32_t first, const int8_t *input, const int32_t *stream,
                  int8_t *output, int8_t *scratch) {
    const int32_t top = first * p->stride - p->pad_lines;
    const int32_t from_line = largest(top, 0);
    const int32_t end_line = smallest(top + (r->lines - 1) * p->stride + TAPS, p->input_lines);
    const int32_t end_place = smallest((p->output_places - 1) * p->stride + TAPS - p->pad_places, p->input_places);
    const int32_t group = p->together == GROUP && ((uintptr_t)input & 3u) == 0u ? GROUP : 1;
    inside in;
    r->pitch = (r->lines - 1) * p->stride + TAPS;
    in.pitch = r->pitch;
    in.plane_size = ((p->output_places - 1) * p->stride + TAPS) * in.pitch;
    in.plane = scratch + p->pad_places * in.pitch + from_line - top;
    in.line_step = p->input_line_step;
    in.place_step = p->input_place_step;
    in.lines = largest(end_line - from_line, 0);
    in.places = end_place;
    for (int32_t i = 0; i < group * in.plane_size; i++) {
        scratch[i] = (int8_t)p->input_zero_point;
    }
    for (int32_t channel = 0; channel < p->input_depth; channel += group) {
        in.source = input + from_line * in.line_step + channel;
        if (group == GROUP) {
            copy_4(&in);
        } else {
            copy_1(&in);
        }
        for (int32_t k = 0; k < group * p->multiplier; k++) {
            r->plane = scratch + (group == GROUP ? k * in.plane_size : 0);
            r->output = output++;
            band(r, stream);
            stream += RECORD;
        }
    }
}

/* No `restrict`: the output may reach over the input. */
TINYC_KERNEL void tinyc_depthwise_conv_2d_s8_rv32(const tinyc_depthwise_conv_2d_lines_params *params, const int8_t *input,
                                                  const int32_t *restrict stream, int8_t *output, void *scratch) {
    const tinyc_depthwise_conv_2d_lines_params *const p = params;
    request r;
    r.place_step = p->output_place_step;
    r.line_step = p->output_line_step;
    r.line_size = p->output_places * p->output_place_step;
    r.stride = p->negative == 0 ? p->stride + 2 : p->stride;
    r.low = p->activation_min;
    r.high = p->activation_max;
    r.negative = p->negative;
    r.sum_shift = p->sum_shift;
    for (int32_t b = 0; b < p->batches; b++) {
        for (int32_t first = 0; first < p->output_lines; first += p->band) {
            r.lines = smallest(p->band, p->output_lines - first);
            lines(p, &r, first, input, stream, output + first * p->output_line_step, scratch);
        }
        input += p->input_lines * p->input_places * p->input_depth;
        output += p->output_lines * p->output_places * p->input_depth * p->multiplier;
    }
}
