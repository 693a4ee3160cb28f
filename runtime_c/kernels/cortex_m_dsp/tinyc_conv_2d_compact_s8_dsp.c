/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_compact_dsp.h"

/* What the function in assembly needs, in this order. */
typedef struct {
    uint32_t *x;           /* the pixel's patch */
    uint32_t *x_end;
    const int32_t *stream;
    int32_t scale;         /* of all channels, or 0 */
    int8_t *output;
    int32_t even_scale;
    int32_t shift;
    int32_t shift_mask;
    int32_t rounding;
    int8_t *output_end;
} frame;

/* The next channel's scale goes to r4; the branch is taken if it is constant. */
#define NEXT_SCALE(skip, constant) \
    "ldr r4, [lr, #12]\n\t"        \
    "cbnz r4, " skip "f\n\t"       \
    "ldr r4, [r1], #4\n"           \
    skip ":\n\t"                   \
    "cmp r4, #0\n\t"               \
    "bge " constant "f\n\t"

/* All output channels of a pixel, two at a time; the loop over the patch takes 16 instructions for 16 multiply-accumulates. It needs all
 * registers, and compilers spill. */
static TINYC_DSP_ASSEMBLY void channels(frame *f __attribute__((unused))) {
    __asm volatile(
        "push {r4-r11, lr}\n\t"
        "mov lr, r0\n\t"
        "ldr r1, [lr, #8]\n\t"
        "ldr r0, [lr, #16]\n\t"
        "ldr r11, [lr, #36]\n"
        "1:\n\t"
        NEXT_SCALE("2", "7")
        "strd r0, r4, [lr, #16]\n\t"
        "ldr r12, [r1], #4\n\t"
        "asr r2, r12, #16\n\t"
        "sxth r12, r12\n\t"
        "cmn r12, #32768\n\t"
        "bne 4f\n\t"
        "ldrd r12, r2, [r1], #8\n"
        "4:\n\t"
        "add r2, r12, r2, lsl #8\n\t"
        "ldrd r0, r7, [lr]\n"
        "5:\n\t" /* eight k of two channels: r2 sums up both stacked, r12 the even one */
        "ldm r0!, {r3-r6}\n\t"
        "ldm r1!, {r8-r11}\n\t"
        "smlad r2, r3, r8, r2\n\t"
        "sxtb16 r8, r8\n\t"
        "smlad r12, r3, r8, r12\n\t"
        "smlad r2, r4, r9, r2\n\t"
        "sxtb16 r9, r9\n\t"
        "smlad r12, r4, r9, r12\n\t"
        "smlad r2, r5, r10, r2\n\t"
        "sxtb16 r10, r10\n\t"
        "smlad r12, r5, r10, r12\n\t"
        "smlad r2, r6, r11, r2\n\t"
        "sxtb16 r11, r11\n\t"
        "smlad r12, r6, r11, r12\n\t"
        "cmp r0, r7\n\t"
        "bne 5b\n\t"
        "add r3, lr, #16\n\t"
        "ldm r3, {r0, r4, r8-r11}\n\t"
        "sub r2, r2, r12\n\t"
        "asr r2, r2, #8\n\t"
        TINYC_COMPACT_REQUANTIZE("r12", "r4", "r8", "r9", "r10")
        "strb r12, [r0], #1\n"
        "6:\n\t"
        "cmp r0, r11\n\t"
        "beq 10f\n\t"
        NEXT_SCALE("8", "9")
        TINYC_COMPACT_REQUANTIZE("r2", "r4", "r8", "r9", "r10")
        "mov r4, r2\n"
        "7:\n\t"
        "strb r4, [r0], #1\n\t"
        "cmp r0, r11\n\t"
        "bne 1b\n"
        "10:\n\t"
        "pop {r4-r11, pc}\n"
        "9:\n\t"
        "strb r4, [r0], #1\n\t"
        "b 6b\n\t");
}

/* The input channels of a tap as halfwords, of each four 0, 2, 1, 3 where the depth is a multiple of four. Returns the end. */
static inline int16_t *widen(const int8_t *input, int32_t depth, int32_t offset, int16_t *x) {
    const int16_t *const end = x + depth;
    if ((depth & 3) == 0) {
        uint32_t even;
        uint32_t odd;
        /* STRD: `x` is a multiple of eight bytes from the start of the scratch memory. */
        __asm volatile(
            "1:\n\t"
            "ldr %[odd], [%[input]], #4\n\t"
            "sxtab16 %[even], %[offsets], %[odd]\n\t"
            "sxtab16 %[odd], %[offsets], %[odd], ror #8\n\t"
            "strd %[even], %[odd], [%[x]], #8\n\t"
            "cmp %[x], %[end]\n\t"
            "bne 1b\n\t"
            : [input] "+r"(input), [x] "+r"(x), [even] "=&r"(even), [odd] "=&r"(odd)
            : [offsets] "r"((uint32_t)(uint16_t)offset * 0x10001u), [end] "r"(end)
            : "cc", "memory");
    } else {
        do {
            *x++ = (int16_t)(*input++ + offset);
        } while (x != end);
    }
    return x;
}

/* The patch of a pixel whose first tap is at row `y` and column `left`. */
static void gather(const tinyc_conv_2d_compact_dsp_params *p, const int8_t *input, int32_t y, int32_t left, int16_t *x) {
    for (int32_t ky = p->filter_height; ky > 0; ky--) {
        int32_t column = left;
        for (int32_t kx = p->filter_width; kx > 0; kx--) {
            if ((uint32_t)y < (uint32_t)p->input_height && (uint32_t)column < (uint32_t)p->input_width) {
                x = widen(input + (y * p->input_width + column) * p->input_depth, p->input_depth, p->input_offset, x);
            } else {
                for (int32_t i = p->input_depth; i > 0; i--) {
                    *x++ = 0;
                }
            }
            column += p->dilation_width;
        }
        y += p->dilation_height;
    }
}

/* No `restrict`: the output may reach over the input. */
TINYC_KERNEL void tinyc_conv_2d_compact_s8_dsp(const tinyc_conv_2d_compact_dsp_params *params, const int8_t *input, int8_t *output,
                                               void *scratch) {
    const tinyc_conv_2d_compact_dsp_params *const p = params;
    frame f;
    f.x = scratch;
    f.x_end = f.x + p->patch_words;
    f.stream = p->stream;
    f.scale = p->scale;
    f.shift = p->shift;
    f.shift_mask = p->shift_mask;
    f.rounding = p->rounding;
    for (int32_t batch = p->batches; batch > 0; batch--) {
        for (int32_t row = 0; row < p->output_height; row++) {
            for (int32_t column = 0; column < p->output_width; column++) {
                gather(p, input, row * p->stride_height - p->pad_height, column * p->stride_width - p->pad_width, scratch);
                f.output = output;
                f.output_end = output + p->output_depth;
                channels(&f);
                if (p->activation_max - p->activation_min < 255) {
                    tinyc_compact_clamp(output, p->output_depth, p->activation_min, p->activation_max);
                }
                output = f.output_end;
            }
        }
        input += p->input_height * p->input_width * p->input_depth;
    }
}
