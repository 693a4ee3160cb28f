/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_fixed_point.h"

#if !defined(__thumb2__)
#error "tinyc_fully_connected_s8_armv7m.c needs Thumb-2 instructions: compile with -mcpu=cortex-m3 or the like"
#endif

/* What the channel loop keeps on its stack, in this order. */
typedef struct {
    int8_t *output;
    const int32_t *stream_end;
    const int8_t *x;
    const int8_t *x_end;
    uint32_t skip; /* bytes of code before the k that the unrolled loop begins with */
    int32_t round_by_sign;
    const int32_t *records;
    int32_t records_back; /* bytes to go back behind eight records, for the next eight channels */
} frame;

/* One k of eight channels: 8 multiply-accumulates in 17 instructions (68 bytes of code). */
#define MAC(acc)                 \
    "ldrsb.w r9, [r11], #1\n\t"  \
    "mla " acc ", r8, r9, " acc "\n\t"
#define STEP                     \
    "ldrsb.w r8, [r10], #1\n\t"  \
    MAC("r0") MAC("r1") MAC("r2") MAC("r3") MAC("r4") MAC("r5") MAC("r6") MAC("r7")

/* As in tinyc_conv_2d_s8_armv7m.c. */
#define REQUANTIZE(acc)                     \
    "ldm r11!, {r8, r9, r10}\n\t"           \
    "smull r12, " acc ", " acc ", r9\n\t"   \
    "add " acc ", " acc ", r10\n\t"         \
    "asr " acc ", " acc ", r8\n\t"          \
    "ssat " acc ", #8, " acc "\n\t"         \
    "strb " acc ", [lr], #1\n\t"
#define REQUANTIZE_SIGNED(acc)              \
    "ldm r11!, {r8, r9, r10}\n\t"           \
    "lsl r12, " acc ", #1\n\t"              \
    "smull r12, r9, r12, r9\n\t"            \
    "lsls r12, r12, #1\n\t"                 \
    "adc " acc ", r9, " acc ", asr #31\n\t" \
    "add " acc ", " acc ", r10\n\t"         \
    "asr " acc ", " acc ", r8\n\t"          \
    "ssat " acc ", #8, " acc "\n\t"         \
    "strb " acc ", [lr], #1\n\t"

/* Blocks of eight channels up to stream_end, for one row. Written in assembly because compilers spill. */
static __attribute__((naked, noinline)) void channels(const frame *f __attribute__((unused)),
                                                      const int32_t *stream __attribute__((unused))) {
    __asm volatile(
        "push {r3-r11, lr}\n\t"
        "mov r11, r1\n\t"
        "ldm r0, {r2-r9}\n\t"
        "adr r10, 2f\n\t"
        "add r6, r6, r10\n\t"
        "orr r6, r6, #1\n\t"
        "push {r2-r9}\n"
        "1:\n\t"
        "ldm r11!, {r0-r7}\n\t"
        "ldrd r10, r12, [sp, #8]\n\t"
        "ldr pc, [sp, #16]\n\t"
        ".p2align 2\n"
        "2:\n\t"
        STEP STEP STEP STEP STEP STEP STEP STEP
        "cmp r10, r12\n\t"
        "bne.w 2b\n\t"
        "str r11, [sp, #32]\n\t"
        "ldrd r8, r11, [sp, #20]\n\t"
        "ldr lr, [sp]\n\t"
        "cmp r8, #0\n\t"
        "bne.w 4f\n\t"
        REQUANTIZE("r0") REQUANTIZE("r1") REQUANTIZE("r2") REQUANTIZE("r3")
        REQUANTIZE("r4") REQUANTIZE("r5") REQUANTIZE("r6") REQUANTIZE("r7")
        "3:\n\t"
        "str lr, [sp]\n\t"
        "ldr r8, [sp, #28]\n\t"
        "sub r8, r11, r8\n\t"
        "str r8, [sp, #24]\n\t"
        "ldr r11, [sp, #32]\n\t"
        "ldr r8, [sp, #4]\n\t"
        "cmp r11, r8\n\t"
        "bne.w 1b\n\t"
        "add sp, sp, #32\n\t"
        "pop {r3-r11, pc}\n"
        "4:\n\t"
        REQUANTIZE_SIGNED("r0") REQUANTIZE_SIGNED("r1") REQUANTIZE_SIGNED("r2") REQUANTIZE_SIGNED("r3")
        REQUANTIZE_SIGNED("r4") REQUANTIZE_SIGNED("r5") REQUANTIZE_SIGNED("r6") REQUANTIZE_SIGNED("r7")
        "b.w 3b\n\t");
}

/* No `restrict`: the output may reach over the input. */
TINYC_KERNEL void tinyc_fully_connected_s8_armv7m(const tinyc_fully_connected_armv7m_params *params, const int8_t *input,
                                                  const int32_t *restrict stream, int8_t *output) {
    const tinyc_fully_connected_armv7m_params *const p = params;
    const int32_t whole = p->output_depth & ~7;
    const int32_t *const tail = stream + (whole / 8) * (2 * p->input_depth + 8);
    const int32_t *const records = stream + ((p->output_depth + 7) / 8) * (2 * p->input_depth + 8);
    frame f;
    f.records_back = p->one_record != 0 ? 96 : 0;
    f.skip = (uint32_t)(-p->input_depth & 7) * 68u;
    f.round_by_sign = p->round_by_sign;
    for (int32_t row = 0; row < p->rows; row++) {
        f.x = input;
        f.x_end = input + p->input_depth;
        if (whole > 0) {
            f.output = output;
            f.stream_end = tail;
            f.records = records;
            channels(&f, stream);
        }
        if (whole < p->output_depth) {
            int8_t spare[8];
            f.output = spare;
            f.stream_end = records;
            f.records = p->one_record != 0 ? records : records + 3 * whole;
            channels(&f, tail);
            for (int32_t o = whole; o < p->output_depth; o++) {
                output[o] = spare[o - whole];
            }
        }
        if (p->activation_min > -128 || p->activation_max < 127) {
            for (int32_t o = 0; o < p->output_depth; o++) {
                output[o] = (int8_t)tinyc_clamp(output[o], p->activation_min, p->activation_max);
            }
        }
        input += p->input_depth;
        output += p->output_depth;
    }
}
