/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_scale_high.h"
#include "tinyc_triples.h"
#include "tinyc_windows.h"

#if !defined(__riscv_mul) || __riscv_xlen != 32
#error "tinyc_conv_2d_s8_rv32.c needs RV32 with multiplication: compile with -march=rv32im, rv32imc or the like"
#endif

#define PIXELS 6 /* two triples */
#define BLOCK_CHANNELS 4
#define RECORD 5 /* words per channel behind a block's weights: start, multiplier, rounding, shift, step back to the next channel */
#define SHIFT 11 /* the assembly has sums times 2^11 */

/* What `products` is asked to do. */
#define SUMS_3 (-1)    /* add to sums[4][3], of the first triple */
#define OUTPUTS_RELU 0 /* outputs of all blocks up to `stream_end`, where a negative sum gives `low` */
#define OUTPUTS 1      /* outputs of all blocks up to `stream_end` */
#define SUMS_6 2       /* add to sums[4][6] */

typedef struct {
    const uint32_t *x; /* packed pixels */
    const uint32_t *x_end;
    void *output;  /* of the first pixel, or the sums */
    int32_t pitch; /* bytes from a pixel's output to the next one's */
    int32_t low;
    int32_t high;
    const int32_t *stream_end;
    int32_t task;
} request;

/* One input channel times four filters, for one triple: p and q are its two words, r and s the sums. */
#define TIMES(w, p, q, r, s)       \
    "mul t2, " p ", " w "\n\t"     \
    "mul a7, " q ", " w "\n\t"     \
    "add " r ", " r ", t2\n\t"     \
    "add " s ", " s ", a7\n\t"

/* Two triples: 24 multiply-accumulates in 40 instructions. */
#define STEP_6(x0, x1, x2, x3, w0, w1, w2, w3)                                   \
    "lw a2, " x0 "(a0)\n\t"                                                      \
    "lb t0, " w0 "(a1)\n\t"                                                      \
    "lw a3, " x1 "(a0)\n\t"                                                      \
    "lw a4, " x2 "(a0)\n\t"                                                      \
    "lw a5, " x3 "(a0)\n\t"                                                      \
    "lb t1, " w1 "(a1)\n\t"                                                      \
    TIMES("t0", "a2", "a3", "s0", "s1") TIMES("t0", "a4", "a5", "s2", "s3")      \
    "lb t0, " w2 "(a1)\n\t"                                                      \
    TIMES("t1", "a2", "a3", "s4", "s5") TIMES("t1", "a4", "a5", "s6", "s7")      \
    "lb t1, " w3 "(a1)\n\t"                                                      \
    TIMES("t0", "a2", "a3", "s8", "s9") TIMES("t0", "a4", "a5", "s10", "s11")    \
    TIMES("t1", "a2", "a3", "t3", "t4") TIMES("t1", "a4", "a5", "t5", "t6")

/* One triple: 12 multiply-accumulates in 22 instructions. */
#define STEP_3(x0, x1, w0, w1, w2, w3)                                           \
    "lw a2, " x0 "(a0)\n\t"                                                      \
    "lb t0, " w0 "(a1)\n\t"                                                      \
    "lw a3, " x1 "(a0)\n\t"                                                      \
    "lb t1, " w1 "(a1)\n\t"                                                      \
    "lb a4, " w2 "(a1)\n\t"                                                      \
    "lb a5, " w3 "(a1)\n\t"                                                      \
    TIMES("t0", "a2", "a3", "s0", "s1") TIMES("t1", "a2", "a3", "s4", "s5")      \
    TIMES("a4", "a2", "a3", "s8", "s9") TIMES("a5", "a2", "a3", "t3", "t4")


/* Splits the sums r = B + C * 2^21 and s = A + C * 2^10 into s = A, r = B and t0 = C, each times 2^11 and off by 2^31, which the
 * channel's start value takes back. They begin as r = 2^20 and s = 2^30 + 2^20, so that no part borrows from the one above it. */
#define SPLIT(r, s)                   \
    "srai t0, " r ", 21\n\t"          \
    "slli t1, t0, 10\n\t"             \
    "sub " s ", " s ", t1\n\t"        \
    "srai t1, " s ", 21\n\t"          \
    "slli t0, t0, 11\n\t"             \
    "slli t1, t1, 22\n\t"             \
    "add t0, t0, t1\n\t"              \
    "slli " r ", " r ", 11\n\t"       \
    "slli " s ", " s ", 11\n\t"

/* One output from v, the sum times 2^11: start value in a2, multiplier a3, rounding a4, shift a5, clamp t2 to a7, pitch a6. */
#define OUTPUT_RELU(v)                \
    "add " v ", " v ", a2\n\t"        \
    "bgez " v ", 7f\n\t"              \
    "mv " v ", t2\n\t"                \
    "j 8f\n"                          \
    "7:\n\t"                          \
    "mulhsu " v ", " v ", a3\n\t"     \
    "add " v ", " v ", a4\n\t"        \
    "sra " v ", " v ", a5\n\t"        \
    "ble " v ", a7, 8f\n\t"           \
    "mv " v ", a7\n"                  \
    "8:\n\t"                          \
    "sb " v ", 0(a0)\n\t"             \
    "add a0, a0, a6\n\t"

/* TFLM rounds half away from zero: a negative sum loses one unit of the high product, which is 2^11 here. */
#define OUTPUT(v)                     \
    "add " v ", " v ", a2\n\t"        \
    "bltz " v ", 7f\n\t"              \
    "mulhsu " v ", " v ", a3\n\t"     \
    "j 8f\n"                          \
    "7:\n\t"                          \
    "mulhsu " v ", " v ", a3\n\t"     \
    "addi " v ", " v ", -2048\n"      \
    "8:\n\t"                          \
    "add " v ", " v ", a4\n\t"        \
    "sra " v ", " v ", a5\n\t"        \
    "bge " v ", t2, 7f\n\t"           \
    "mv " v ", t2\n"                  \
    "7:\n\t"                          \
    "ble " v ", a7, 8f\n\t"           \
    "mv " v ", a7\n"                  \
    "8:\n\t"                          \
    "sb " v ", 0(a0)\n\t"             \
    "add a0, a0, a6\n\t"

/* Six outputs of one channel, whose record is at `start` and so on behind a1. */
#define CHANNEL(output, start, multiplier, rounding, shift, step, r0, s0, r1, s1) \
    "lw a2, " start "(a1)\n\t"                                              \
    "lw a3, " multiplier "(a1)\n\t"                                         \
    "lw a4, " rounding "(a1)\n\t"                                           \
    "lw a5, " shift "(a1)\n\t"                                              \
    SPLIT(r0, s0)                                                           \
    output(s0) output(r0) output("t0")                                      \
    SPLIT(r1, s1)                                                           \
    output(s1) output(r1) output("t0")                                      \
    "lw a5, " step "(a1)\n\t"                                               \
    "sub a0, a0, a5\n\t"

#define BLOCK(output)                                                       \
    CHANNEL(output, "0", "4", "8", "12", "16", "s0", "s1", "s2", "s3")            \
    CHANNEL(output, "20", "24", "28", "32", "36", "s4", "s5", "s6", "s7")         \
    CHANNEL(output, "40", "44", "48", "52", "56", "s8", "s9", "s10", "s11")       \
    CHANNEL(output, "60", "64", "68", "72", "76", "t3", "t4", "t5", "t6")

#define ADD_SUMS(r, s)                \
    "mv a3, " r "\n\t"                \
    "mv a4, " s "\n\t"                \
    "jal t2, 60f\n\t"

/* See `request`; returns the output of the channel after the last. Written in assembly because it needs nearly all registers; compilers spill. */
static __attribute__((naked, noinline)) int8_t *products(const request *r __attribute__((unused)),
                                                         const int32_t *stream __attribute__((unused))) {
    __asm volatile(
        "addi sp, sp, -96\n\t"
        "sw ra, 92(sp)\n\t"
        "sw s0, 44(sp)\n\t"
        "sw s1, 48(sp)\n\t"
        "sw s2, 52(sp)\n\t"
        "sw s3, 56(sp)\n\t"
        "sw s4, 60(sp)\n\t"
        "sw s5, 64(sp)\n\t"
        "sw s6, 68(sp)\n\t"
        "sw s7, 72(sp)\n\t"
        "sw s8, 76(sp)\n\t"
        "sw s9, 80(sp)\n\t"
        "sw s10, 84(sp)\n\t"
        "sw s11, 88(sp)\n\t"
        "lw t0, 0(a0)\n\t"
        "lw t1, 4(a0)\n\t"
        "lw t2, 8(a0)\n\t"
        "lw a2, 12(a0)\n\t"
        "lw a3, 16(a0)\n\t"
        "lw a4, 20(a0)\n\t"
        "lw a5, 24(a0)\n\t"
        "lw a6, 28(a0)\n\t"
        "sw t0, 0(sp)\n\t"
        "sw t1, 4(sp)\n\t"
        "sw t2, 8(sp)\n\t"
        "sw a2, 12(sp)\n\t"
        "sw a3, 16(sp)\n\t"
        "sw a4, 20(sp)\n\t"
        "sw a5, 24(sp)\n\t"
        "sw a6, 28(sp)\n"
        "10:\n\t" /* four channels */
        "lw a0, 0(sp)\n\t"
        "lw a6, 4(sp)\n\t"
        "lui t0, 0x100\n\t"
        "lui t1, 0x40100\n\t"
        "mv s0, t0\n\t"
        "mv s1, t1\n\t"
        "mv s2, t0\n\t"
        "mv s3, t1\n\t"
        "mv s4, t0\n\t"
        "mv s5, t1\n\t"
        "mv s6, t0\n\t"
        "mv s7, t1\n\t"
        "mv s8, t0\n\t"
        "mv s9, t1\n\t"
        "mv s10, t0\n\t"
        "mv s11, t1\n\t"
        "mv t3, t0\n\t"
        "mv t4, t1\n\t"
        "mv t5, t0\n\t"
        "mv t6, t1\n\t"
        "lw ra, 28(sp)\n\t"
        "bltz ra, 50f\n"
        "20:\n\t"
        STEP_6("0", "4", "8", "12", "0", "1", "2", "3")
        STEP_6("16", "20", "24", "28", "4", "5", "6", "7")
        STEP_6("32", "36", "40", "44", "8", "9", "10", "11")
        "addi a0, a0, 64\n\t"
        "addi a1, a1, 16\n\t"
        STEP_6("-16", "-12", "-8", "-4", "-4", "-3", "-2", "-1")
        "bne a0, a6, 20b\n\t"
        "lw a0, 8(sp)\n\t"
        "addi t0, ra, -2\n\t"
        "beqz t0, 40f\n\t"
        "lw a6, 12(sp)\n\t"
        "lw t2, 16(sp)\n\t"
        "lw a7, 20(sp)\n\t"
        "bnez ra, 30f\n\t"
                BLOCK(OUTPUT_RELU)
        "j 31f\n"
        "30:\n\t"
                BLOCK(OUTPUT)
        "31:\n\t"
        "sw a0, 8(sp)\n\t"
        "addi a1, a1, 80\n\t"
        "lw t0, 24(sp)\n\t"
        "beq a1, t0, 90f\n\t"
        "j 10b\n"
        "40:\n\t"
        ADD_SUMS("s0", "s1")
        ADD_SUMS("s2", "s3")
        ADD_SUMS("s4", "s5")
        ADD_SUMS("s6", "s7")
        ADD_SUMS("s8", "s9")
        ADD_SUMS("s10", "s11")
        ADD_SUMS("t3", "t4")
        ADD_SUMS("t5", "t6")
        "j 90f\n"
        "50:\n\t"
        STEP_3("0", "4", "0", "1", "2", "3")
        STEP_3("16", "20", "4", "5", "6", "7")
        STEP_3("32", "36", "8", "9", "10", "11")
        "addi a0, a0, 64\n\t"
        "addi a1, a1, 16\n\t"
        STEP_3("-16", "-12", "-4", "-3", "-2", "-1")
        "bne a0, a6, 50b\n\t"
        "lw a0, 8(sp)\n\t"
        ADD_SUMS("s0", "s1")
        ADD_SUMS("s4", "s5")
        ADD_SUMS("s8", "s9")
        ADD_SUMS("t3", "t4")
        "j 90f\n"
        "60:\n\t" /* adds A, B, C, each 2^20 too much, to the sums at a0 */
        "srai t0, a3, 21\n\t"
        "slli t1, t0, 10\n\t"
        "sub a4, a4, t1\n\t"
        "srai t1, a4, 21\n\t"
        "slli t1, t1, 11\n\t"
        "add a5, t0, t1\n\t"
        "slli a4, a4, 11\n\t"
        "srli a4, a4, 11\n\t"
        "slli a3, a3, 11\n\t"
        "srli a3, a3, 11\n\t"
        "lw t0, 0(a0)\n\t"
        "lw t1, 4(a0)\n\t"
        "lw a2, 8(a0)\n\t"
        "add a4, a4, t0\n\t"
        "add a3, a3, t1\n\t"
        "add a5, a5, a2\n\t"
        "sw a4, 0(a0)\n\t"
        "sw a3, 4(a0)\n\t"
        "sw a5, 8(a0)\n\t"
        "addi a0, a0, 12\n\t"
        "jr t2\n"
        "90:\n\t"
        "lw ra, 92(sp)\n\t"
        "lw s0, 44(sp)\n\t"
        "lw s1, 48(sp)\n\t"
        "lw s2, 52(sp)\n\t"
        "lw s3, 56(sp)\n\t"
        "lw s4, 60(sp)\n\t"
        "lw s5, 64(sp)\n\t"
        "lw s6, 68(sp)\n\t"
        "lw s7, 72(sp)\n\t"
        "lw s8, 76(sp)\n\t"
        "lw s9, 80(sp)\n\t"
        "lw s10, 84(sp)\n\t"
        "lw s11, 88(sp)\n\t"
        "addi sp, sp, 96\n\t"
        "ret\n\t");
}

/* Packs the windows of one triple. `lines` is a row of the input's zero point and room for three more. */
static void pack_windows(const tinyc_conv_2d_patches_params *p, tinyc_window *windows, int8_t *lines, uint32_t *x) {
    const int32_t run = p->filter_width * p->input_depth;
    const int32_t pitch = p->dilation_height * p->input_width * p->input_depth;
    for (int32_t tap = 0; tap < p->filter_height; tap++) {
        const int8_t *rows[3];
        for (int32_t i = 0; i < 3; i++) {
            rows[i] = windows[i].source;
            if (rows[i] != NULL) {
                windows[i].source = rows[i] + pitch;
            } else {
                rows[i] = tinyc_window_row(p, &windows[i], tap, lines, lines + (i + 1) * run);
            }
        }
        tinyc_triples_pack(rows[0], rows[1], rows[2], run, x);
        x += TINYC_TRIPLE_STRIDE * run;
    }
}

/* The outputs of `count` pixels in the first `channels` channels of one block, one segment of the filter at a time. Returns the output of
 * the channel after them. */
static int8_t *block(const tinyc_conv_2d_patches_params *p, const int32_t *stream, const uint32_t *x, int32_t depth, int32_t channels,
                     int32_t count, int8_t *output) {
    uint32_t sums[BLOCK_CHANNELS * PIXELS];
    const uint32_t *sum = sums;
    const int32_t per_channel = count > PIXELS / 2 ? PIXELS : PIXELS / 2;
    request r = {.output = sums, .task = count > PIXELS / 2 ? SUMS_6 : SUMS_3};
    for (int32_t i = 0; i < BLOCK_CHANNELS * PIXELS; i++) {
        sums[i] = 0u - ((uint32_t)p->segments << 20); /* each segment's sums are 2^20 too much */
    }
    for (int32_t first = 0; first < depth; first += p->segment) {
        const int32_t end = depth - first < p->segment ? depth : first + p->segment;
        r.x = x + TINYC_TRIPLE_STRIDE * first;
        r.x_end = x + TINYC_TRIPLE_STRIDE * end;
        products(&r, stream + first);
    }
    for (const int32_t *record = stream + depth; channels > 0; channels--) {
        int8_t *out = output;
        for (int32_t i = 0; i < count; i++) {
            const int32_t value = (int32_t)((sum[i] << p->sum_shift) + (uint32_t)record[0] + 0x80000000u);
            *out = (int8_t)tinyc_scale_high(value, record + 1, p->negative, p->activation_min, p->activation_max);
            out += p->output_depth;
        }
        output += PIXELS * p->output_depth - record[4];
        record += RECORD;
        sum += per_channel;
    }
    return output;
}

/* The channels that are constant, of `count` pixels. */
static void store_constants(const tinyc_conv_2d_patches_params *p, const int32_t *constants, int32_t count, int8_t *output) {
    const int32_t pitch = p->output_depth;
    for (int32_t i = 0; i < p->constants; i++) {
        int8_t *out = output + (constants[i] >> 8);
        const int8_t value = (int8_t)constants[i];
        for (int32_t pixel = 0; pixel < count; pixel++) {
            *out = value;
            out += pitch;
        }
    }
}

/* Packs the next `count` patches, two triples; the last one again where there are fewer. */
static void pack(const tinyc_conv_2d_patches_params *p, const int8_t *input, tinyc_position *at, int32_t count, int8_t *lines, uint32_t *x) {
    const int32_t run = p->filter_width * p->input_depth;
    tinyc_window windows[PIXELS];
    if (p->direct == 0) {
        tinyc_next_windows(p, at, count, PIXELS, windows);
        pack_windows(p, windows, lines, x);
        if (count > PIXELS / 2) {
            pack_windows(p, windows + PIXELS / 2, lines, x + 2);
        }
    } else {
        const int8_t *pixels[PIXELS];
        for (int32_t i = 0; i < PIXELS; i++) {
            pixels[i] = input;
            input += i + 1 < count ? run : 0;
        }
        tinyc_triples_pack(pixels[0], pixels[1], pixels[2], run, x);
        if (count > PIXELS / 2) {
            tinyc_triples_pack(pixels[3], pixels[4], pixels[5], run, x + 2);
        }
    }
}

/* No `restrict`: the output may reach over the input. */
TINYC_KERNEL void tinyc_conv_2d_s8_rv32(const tinyc_conv_2d_patches_params *params, const int8_t *input,
                                        const int32_t *restrict stream, int8_t *output, void *scratch) {
    const tinyc_conv_2d_patches_params *const p = params;
    const int32_t run = p->filter_width * p->input_depth;
    const int32_t depth = (p->filter_height * run + 3) & ~3;
    const int32_t block_words = depth + BLOCK_CHANNELS * RECORD;
    const int32_t *const blocks = stream + p->constants;
    const int32_t whole = p->sum_shift == SHIFT && p->segments == 1 ? p->live / BLOCK_CHANNELS : 0;
    uint32_t *const x = scratch;
    int8_t *const lines = (int8_t *)(x + TINYC_TRIPLE_STRIDE * depth);
    tinyc_position at = {input, 0, 0};
    for (int32_t i = 0; i < run && p->direct == 0; i++) {
        lines[i] = (int8_t)p->input_zero_point;
    }
    for (int32_t left = p->batches * p->output_height * p->output_width; left > 0; left -= PIXELS) {
        const int32_t count = left < PIXELS ? left : PIXELS;
        const int32_t *next = blocks;
        int8_t *out = output + p->first;
        int32_t live = p->live;
        pack(p, input, &at, count, lines, x);
        store_constants(p, stream, count, output);
        if (count == PIXELS && whole > 0) {
            request r = {x, x + TINYC_TRIPLE_STRIDE * depth, out, p->output_depth, p->activation_min, p->activation_max, NULL, OUTPUTS};
            next = blocks + whole * block_words;
            r.stream_end = next;
            if (p->negative == 0) {
                r.task = OUTPUTS_RELU;
            }
            out = products(&r, blocks);
            live -= whole * BLOCK_CHANNELS;
        }
        for (; live > 0; live -= BLOCK_CHANNELS) {
            out = block(p, next, x, depth, live < BLOCK_CHANNELS ? live : BLOCK_CHANNELS, count, out);
            next += block_words;
        }
        input += PIXELS * run;
        output += PIXELS * p->output_depth;
    }
}
