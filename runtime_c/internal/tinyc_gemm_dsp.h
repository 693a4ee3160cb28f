/* SPDX-License-Identifier: Apache-2.0 */
/* The matrix product of convolutions on cores with the DSP extension, in assembly: two pixels and four output channels at a time, weights
 * of two channels stacked in one halfword. Kernels say where the pixels' patches are; see tinyc_conv_1x1_s8_dsp for the stream. */
#ifndef TINYC_GEMM_DSP_H
#define TINYC_GEMM_DSP_H

#include "tinyc_kernels.h"

#include "tinyc_dsp.h"

/* What the function in assembly copies to its stack, in this order. A patch is `rows` runs of bytes. Its values are taken as follows: of
 * each run the whole quads, in order; then of each run the one to three bytes that are left over, padded to a quad with anything (their
 * weights are 0). */
typedef struct {
    int8_t *output[2];
    uint32_t *x_end;
    uint32_t *x;                /* scratch for two patches of halfwords, of each quad the words (0, 2) and (1, 3), patches alternating */
    const int32_t *stream_end;  /* of the whole blocks of four channels */
    uint32_t step_skip;         /* bytes of code before the step that the unrolled loop begins with */
    const int32_t *stream;
    const int8_t *source[2];    /* the patches */
    int32_t row_step[2];        /* bytes from the end of a run to the next */
    int32_t rows;
    uint32_t quad_skip;         /* bytes of code, as above */
    int8_t *rest;               /* scratch for the bytes left over, of the second patch after those of the first */
    int32_t rest_bytes;         /* of one patch */
    int32_t row_x_bytes;        /* written to x for the quads of a run */
    uint32_t rest_skip;         /* bytes of code, as above */
    int32_t source_advance;     /* bytes from a pair of patches to the next */
    int32_t channels;
    int32_t pairs;              /* >= 1 */
    int32_t last_channels;      /* in the block after the whole ones, or 0 */
    const int32_t *last_end;    /* of that block */
    int8_t *spare;              /* scratch, 8 bytes */
    const int32_t *whole_end;   /* the same as stream_end */
    int32_t relu;               /* 1: for the shorter requantization, else 0 */
    int32_t single_relu;        /* the same */
} tinyc_gemm_dsp_call;

/* Bytes of scratch for patches of `rows` runs of `run` bytes; a multiple of 4. */
#define TINYC_GEMM_DSP_SCRATCH(rows, run) \
    ((rows) * ((run) & ~3) * 4 + (((rows) * ((run) & 3) + 3) & ~3) * 6 + 8)

/* One step: two k, four channels, two pixels: 16 multiply-accumulates in 12 instructions (48 bytes of code).
 * r0, r1, r2, r3 hold channel 0, channels 0 and 1 stacked, channel 2, channels 2 and 3 stacked of pixel 0; r4 to r7 of pixel 1. */
#define TINYC_GEMM_STEP            \
    "ldrd r10, r11, [lr], #8\n\t"  \
    "ldrd r8, r9, [r12], #8\n\t"   \
    "smlad r1, r8, r10, r1\n\t"    \
    "smlad r5, r9, r10, r5\n\t"    \
    "sxtb16 r10, r10\n\t"          \
    "smlad r0, r8, r10, r0\n\t"    \
    "smlad r4, r9, r10, r4\n\t"    \
    "smlad r3, r8, r11, r3\n\t"    \
    "smlad r7, r9, r11, r7\n\t"    \
    "sxtb16 r11, r11\n\t"          \
    "smlad r2, r8, r11, r2\n\t"    \
    "smlad r6, r9, r11, r6\n\t"
#define TINYC_GEMM_STEP_BYTES 48u
#define TINYC_GEMM_DSP_SINGLE 0xfffffffcu /* step_skip of a single pixel */

/* The first step: both pixels start from the biases in r0 to r3. */
#define TINYC_GEMM_FIRST_STEP      \
    "ldrd r10, r11, [lr], #8\n\t"  \
    "ldrd r8, r9, [r12], #8\n\t"   \
    "smlad r5, r9, r10, r1\n\t"    \
    "smlad r1, r8, r10, r1\n\t"    \
    "sxtb16 r10, r10\n\t"          \
    "smlad r4, r9, r10, r0\n\t"    \
    "smlad r0, r8, r10, r0\n\t"    \
    "smlad r7, r9, r11, r3\n\t"    \
    "smlad r3, r8, r11, r3\n\t"    \
    "sxtb16 r11, r11\n\t"          \
    "smlad r6, r9, r11, r2\n\t"    \
    "smlad r2, r8, r11, r2\n\t"

/* Four bytes of both patches, perhaps unaligned, become halfwords (28 bytes of code). */
#define TINYC_GEMM_QUAD             \
    "ldr r6, [r0], #4\n\t"          \
    "ldr r7, [r1], #4\n\t"          \
    "sxtb16 r4, r6\n\t"             \
    "sxtb16 r5, r7\n\t"             \
    "sxtb16 r6, r6, ror #8\n\t"     \
    "sxtb16 r7, r7, ror #8\n\t"     \
    "stmia.w r2!, {r4-r7}\n\t"
#define TINYC_GEMM_QUAD_BYTES 28u

/* One byte left over of both patches (16 bytes of code). */
#define TINYC_GEMM_REST             \
    "ldrb r4, [r0], #1\n\t"         \
    "ldrb r5, [r1], #1\n\t"         \
    "strb.w r5, [r12, lr]\n\t"      \
    "strb r4, [r12], #1\n\t"
#define TINYC_GEMM_REST_BYTES 16u

/* `acc` holds twice the accumulator; multiplier, rounding and shift are in r8, r9, r10. The rounding term gets the accumulator's sign,
 * which makes the shift round half away from zero. */
#define TINYC_GEMM_REQUANTIZE(acc, temporary)              \
    "add " temporary ", r9, " acc ", asr #31\n\t"          \
    "smmlar " acc ", " acc ", r8, " temporary "\n\t"       \
    "asr " acc ", " acc ", r10\n\t"                        \
    "ssat " acc ", #8, " acc "\n\t"

/* The same where everything below the zero point is clamped: `acc` holds the accumulator times 4, or 256; multiplier, rounding and shift
 * are in r8, r9, r10. */
#define TINYC_GEMM_RELU(acc)                               \
    "smmla " acc ", " acc ", r8, r9\n\t"                   \
    "asr " acc ", " acc ", r10\n\t"                        \
    "ssat " acc ", #8, " acc "\n\t"

/* One pixel, whose halfwords are in x twice: a quad of k, four channels, in 15 instructions for 16 multiply-accumulates. */
#define TINYC_GEMM_SINGLE_STEP(x, w01, w23)               \
    "smlad r1, " x ", " w01 ", r1\n\t"                    \
    "sxtb16 " w01 ", " w01 "\n\t"                         \
    "smlad r0, " x ", " w01 ", r0\n\t"                    \
    "smlad r3, " x ", " w23 ", r3\n\t"                    \
    "sxtb16 " w23 ", " w23 "\n\t"                         \
    "smlad r2, " x ", " w23 ", r2\n\t"

/* Its outputs: multiplier, rounding and shift in r4, r5, r6. `scale` makes of the channel's sum what the requantization takes. */
#define TINYC_GEMM_SINGLE_RELU(acc, scale)                \
    "ldm lr!, {r4-r6}\n\t"                                \
    scale                                                 \
    "smmla " acc ", " acc ", r4, r5\n\t"                  \
    "asrs " acc ", " acc ", r6\n\t"                       \
    "ssat " acc ", #8, " acc "\n\t"                       \
    "strb " acc ", [r11], #1\n\t"
#define TINYC_GEMM_SINGLE_ANY(acc, scale)                 \
    "ldm lr!, {r4-r6}\n\t"                                \
    scale                                                 \
    "add r5, r5, " acc ", asr #31\n\t"                    \
    "smmlar " acc ", " acc ", r4, r5\n\t"                 \
    "asrs " acc ", " acc ", r6\n\t"                       \
    "ssat " acc ", #8, " acc "\n\t"                       \
    "strb " acc ", [r11], #1\n\t"

/* All output channels of pairs of pixels that follow one another in memory. Needs all fourteen registers, where compilers spill. */
void tinyc_gemm_dsp(const tinyc_gemm_dsp_call *call);

TINYC_KERNEL TINYC_DSP_ASSEMBLY void tinyc_gemm_dsp(const tinyc_gemm_dsp_call *call __attribute__((unused))) {
    __asm volatile(
        "push {r4-r11, lr}\n\t"
        "sub sp, sp, #8\n\t"
        "add r0, r0, #104\n\t"
        "ldmdb r0!, {r1, r2}\n\t"
        "push {r1, r2}\n\t"
        "ldmdb r0!, {r1-r8}\n\t"
        "push {r1-r8}\n\t"
        "ldmdb r0!, {r1-r8}\n\t"
        "push {r1-r8}\n\t"
        "ldmdb r0!, {r1-r8}\n\t"
        "push {r1-r8}\n\t"
        "adr r8, 2f\n\t"
        "ldr r0, [sp, #20]\n\t"
        "add r0, r0, r8\n\t"
        "adds r0, r0, #1\n\t"
        "str r0, [sp, #20]\n\t"
        "adr r8, 7f\n\t"
        "ldr r0, [sp, #48]\n\t"
        "add r0, r0, r8\n\t"
        "adds r0, r0, #1\n\t"
        "str r0, [sp, #48]\n\t"
        "adr r8, 8f\n\t"
        "ldr r0, [sp, #64]\n\t"
        "add r0, r0, r8\n\t"
        "adds r0, r0, #1\n\t"
        "str r0, [sp, #64]\n\t"
        "ldr r0, [sp, #96]\n\t"
        "adr r8, 3f\n\t"
        "cbz r0, 19f\n\t"
        "adr r8, 4f\n"
        "19:\n\t"
        "add r8, r8, #1\n\t"
        "str r8, [sp, #96]\n"
        "5:\n\t" /* a pair of pixels: widen */
        "ldrd r0, r1, [sp, #28]\n\t"
        "ldr r2, [sp, #12]\n\t"
        "ldrd r9, r10, [sp, #36]\n\t"
        "ldrd r3, r11, [sp, #44]\n\t"
        "ldrd r12, lr, [sp, #52]\n\t"
        "mov r8, r2\n"
        "6:\n\t" /* a run */
        "ldr r4, [sp, #60]\n\t"
        "add r8, r8, r4\n\t"
        "bx r11\n\t"
        ".p2align 2\n"
        "7:\n\t"
        TINYC_GEMM_QUAD TINYC_GEMM_QUAD TINYC_GEMM_QUAD TINYC_GEMM_QUAD
        "cmp r2, r8\n\t"
        "bne 7b\n\t"
        "ldr pc, [sp, #64]\n\t"
        ".p2align 2\n"
        "8:\n\t"
        TINYC_GEMM_REST TINYC_GEMM_REST TINYC_GEMM_REST
        "add r0, r0, r9\n\t"
        "add r1, r1, r10\n\t"
        "subs r3, r3, #1\n\t"
        "bne 6b\n\t"
        "ldr r8, [sp, #8]\n\t"
        "cmp r2, r8\n\t"
        "beq 10f\n\t"
        "ldr r0, [sp, #52]\n\t"
        "add r1, r0, lr\n"
        "9:\n\t"
        TINYC_GEMM_QUAD
        "cmp r2, r8\n\t"
        "bne 9b\n"
        "10:\n\t"
        "ldr lr, [sp, #24]\n\t"
        "ldr r0, [sp, #16]\n\t"
        "cmp lr, r0\n\t"
        "beq 13f\n"
        "1:\n\t" /* four channels */
        "ldr r12, [sp, #12]\n\t"
        "ldm lr!, {r0-r3}\n\t"
        TINYC_GEMM_FIRST_STEP
        "ldr pc, [sp, #20]\n\t"
        ".p2align 2\n\t"
        "b.w 20f\n" /* TINYC_GEMM_DSP_SINGLE: four bytes before the steps */
        "2:\n\t"
        TINYC_GEMM_STEP TINYC_GEMM_STEP TINYC_GEMM_STEP TINYC_GEMM_STEP
        TINYC_GEMM_STEP TINYC_GEMM_STEP TINYC_GEMM_STEP TINYC_GEMM_STEP
        "ldr r8, [sp, #8]\n\t"
        "cmp r12, r8\n\t"
        "bne.w 2b\n\t"
        "ldr pc, [sp, #96]\n\t"
        ".p2align 2\n"
        "4:\n\t" /* ReLU */
        "ldm lr!, {r8-r10}\n\t"
        "sub r1, r1, r0\n\t" /* 256 times channel 1 */
        "sub r5, r5, r4\n\t"
        "ldrd r11, r12, [sp]\n\t"
        "lsl r0, r0, #2\n\t"
        TINYC_GEMM_RELU("r0")
        "strb r0, [r11], #1\n\t"
        "lsl r4, r4, #2\n\t"
        TINYC_GEMM_RELU("r4")
        "strb r4, [r12], #1\n\t"
        "ldm lr!, {r8-r10}\n\t"
        TINYC_GEMM_RELU("r1")
        "strb r1, [r11], #1\n\t"
        TINYC_GEMM_RELU("r5")
        "strb r5, [r12], #1\n\t"
        "ldm lr!, {r8-r10}\n\t"
        "sub r3, r3, r2\n\t"
        "sub r7, r7, r6\n\t"
        "lsl r2, r2, #2\n\t"
        TINYC_GEMM_RELU("r2")
        "strb r2, [r11], #1\n\t"
        "lsl r6, r6, #2\n\t"
        TINYC_GEMM_RELU("r6")
        "strb r6, [r12], #1\n\t"
        "ldm lr!, {r8-r10}\n\t"
        TINYC_GEMM_RELU("r3")
        "strb r3, [r11], #1\n\t"
        TINYC_GEMM_RELU("r7")
        "strb r7, [r12], #1\n"
        "18:\n\t"
        "strd r11, r12, [sp]\n\t"
        "ldr r0, [sp, #16]\n\t"
        "cmp lr, r0\n\t"
        "bne.w 1b\n\t"
        "ldr r0, [sp, #80]\n\t"
        "cbnz r0, 14f\n"
        "12:\n\t"
        "ldr r0, [sp, #76]\n\t"
        "subs r0, r0, #1\n\t"
        "beq 17f\n\t"
        "str r0, [sp, #76]\n\t"
        "ldrd r3, r4, [sp, #68]\n\t"
        "add r4, r4, r12\n\t"
        "strd r12, r4, [sp]\n\t"
        "ldrd r0, r1, [sp, #28]\n\t"
        "add r0, r0, r3\n\t"
        "add r1, r1, r3\n\t"
        "strd r0, r1, [sp, #28]\n\t"
        "b.w 5b\n"
        "13:\n\t" /* less than four channels */
        "ldrd r11, r12, [sp]\n\t"
        "ldr r0, [sp, #80]\n"
        "14:\n\t" /* the last block goes to the spare bytes */
        "ldr r1, [sp, #84]\n\t"
        "cmp lr, r1\n\t"
        "beq 15f\n\t"
        "str r1, [sp, #16]\n\t"
        "strd r11, r12, [sp, #104]\n\t"
        "ldr r11, [sp, #88]\n\t"
        "add r12, r11, #4\n\t"
        "strd r11, r12, [sp]\n\t"
        "b.w 1b\n"
        "15:\n\t"
        "ldr r1, [sp, #92]\n\t"
        "str r1, [sp, #16]\n\t"
        "ldrd r11, r12, [sp, #104]\n\t"
        "ldr r1, [sp, #88]\n"
        "16:\n\t"
        "ldrb r2, [r1], #1\n\t"
        "strb r2, [r11], #1\n\t"
        "ldrb r2, [r1, #3]\n\t"
        "strb r2, [r12], #1\n\t"
        "subs r0, r0, #1\n\t"
        "bne 16b\n\t"
        "b 12b\n"
        "17:\n\t"
        "add sp, sp, #112\n\t"
        "pop {r4-r11, pc}\n\t"
        ".p2align 2\n"
        "3:\n\t" /* any activation */
        "ldm lr!, {r8-r10}\n\t"
        "sub r1, r1, r0\n\t" /* 256 times channel 1 */
        "sub r5, r5, r4\n\t"
        "lsl r0, r0, #1\n\t"
        TINYC_GEMM_REQUANTIZE("r0", "r11")
        "lsl r4, r4, #1\n\t"
        TINYC_GEMM_REQUANTIZE("r4", "r9")
        "ldrd r11, r12, [sp]\n\t"
        "strb r0, [r11], #1\n\t"
        "strb r4, [r12], #1\n\t"
        "ldm lr!, {r8-r10}\n\t"
        "asr r1, r1, #7\n\t" /* twice channel 1, exactly */
        TINYC_GEMM_REQUANTIZE("r1", "r0")
        "strb r1, [r11], #1\n\t"
        "asr r5, r5, #7\n\t"
        TINYC_GEMM_REQUANTIZE("r5", "r0")
        "strb r5, [r12], #1\n\t"
        "ldm lr!, {r8-r10}\n\t"
        "sub r3, r3, r2\n\t"
        "sub r7, r7, r6\n\t"
        "lsl r2, r2, #1\n\t"
        TINYC_GEMM_REQUANTIZE("r2", "r0")
        "strb r2, [r11], #1\n\t"
        "lsl r6, r6, #1\n\t"
        TINYC_GEMM_REQUANTIZE("r6", "r0")
        "strb r6, [r12], #1\n\t"
        "ldm lr!, {r8-r10}\n\t"
        "asr r3, r3, #7\n\t"
        TINYC_GEMM_REQUANTIZE("r3", "r0")
        "strb r3, [r11], #1\n\t"
        "asr r7, r7, #7\n\t"
        TINYC_GEMM_REQUANTIZE("r7", "r0")
        "strb r7, [r12], #1\n\t"
        "b.w 18b\n"
        "20:\n\t" /* a single pixel, after its first step */
        "ldrd r4, r5, [lr], #8\n\t"
        "ldr r8, [r12], #8\n\t"
        TINYC_GEMM_SINGLE_STEP("r8", "r4", "r5")
        "ldr r9, [sp, #8]\n\t"
        "b 22f\n"
        "21:\n\t"
        "ldm lr!, {r4-r7}\n\t"
        "ldr r8, [r12], #8\n\t"
        "ldr r10, [r12], #8\n\t"
        TINYC_GEMM_SINGLE_STEP("r8", "r4", "r5")
        TINYC_GEMM_SINGLE_STEP("r10", "r6", "r7")
        "22:\n\t"
        "cmp r12, r9\n\t"
        "bne 21b\n\t"
        "subs r1, r1, r0\n\t"
        "subs r3, r3, r2\n\t"
        "ldrd r11, r12, [sp]\n\t"
        "ldr r4, [sp, #100]\n\t"
        "cbz r4, 23f\n\t"
        TINYC_GEMM_SINGLE_RELU("r0", "lsls r0, r0, #2\n\t")
        TINYC_GEMM_SINGLE_RELU("r1", "")
        TINYC_GEMM_SINGLE_RELU("r2", "lsls r2, r2, #2\n\t")
        TINYC_GEMM_SINGLE_RELU("r3", "")
        "b.w 18b\n"
        "23:\n\t"
        TINYC_GEMM_SINGLE_ANY("r0", "lsls r0, r0, #1\n\t")
        TINYC_GEMM_SINGLE_ANY("r1", "asrs r1, r1, #7\n\t")
        TINYC_GEMM_SINGLE_ANY("r2", "lsls r2, r2, #1\n\t")
        TINYC_GEMM_SINGLE_ANY("r3", "asrs r3, r3, #7\n\t")
        "b.w 18b\n\t");
}

/* All of `call` but source, row_step, source_advance, output and pairs. */
static inline void tinyc_gemm_dsp_prepare(tinyc_gemm_dsp_call *call, int32_t rows, int32_t run, int32_t channels, int32_t relu,
                                          const int32_t *stream, void *scratch) {
    const int32_t rest = run & 3;
    const int32_t rest_bytes = (rows * rest + 3) & ~3;
    const int32_t depth = rows * (run & ~3) + rest_bytes;
    call->x = scratch;
    call->x_end = call->x + depth;
    call->rest = (int8_t *)call->x_end;
    call->rest_bytes = rest_bytes;
    call->spare = call->rest + 2 * rest_bytes;
    call->rows = rows;
    call->row_x_bytes = (run & ~3) * 4;
    /* Quads: so many of the four are skipped the first time. */
    call->quad_skip = (uint32_t)(run < 4 ? 4 : -(run >> 2) & 3) * TINYC_GEMM_QUAD_BYTES;
    call->rest_skip = (uint32_t)(3 - rest) * TINYC_GEMM_REST_BYTES;
    /* After the first step, depth / 2 - 1 are left, an odd number; the unrolled loop has 8. */
    call->step_skip = (uint32_t)(8 - ((depth / 2 - 1) & 7)) * TINYC_GEMM_STEP_BYTES;
    call->channels = channels;
    call->stream = stream;
    call->stream_end = stream + (depth + 16) * (channels / 4);
    call->whole_end = call->stream_end;
    call->relu = relu;
    call->single_relu = relu;
    call->last_channels = channels & 3;
    call->last_end = call->stream_end + depth + 16;
}

/* For a last pixel without a partner: computes source[0] to output[0]. */
static inline void tinyc_gemm_dsp_single(tinyc_gemm_dsp_call *call) {
    call->step_skip = TINYC_GEMM_DSP_SINGLE;
    call->source[1] = call->source[0];
    call->row_step[1] = call->row_step[0];
    call->output[1] = call->spare + 4; /* what is stored for it is of no use */
    call->pairs = 1;
    tinyc_gemm_dsp(call);
}

#endif
