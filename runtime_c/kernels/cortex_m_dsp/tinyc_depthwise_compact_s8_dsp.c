/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_compact_dsp.h"
#include "tinyc_window.h"

/* What the function in assembly needs, in this order. */
typedef struct {
    int32_t rows;          /* of taps inside the image */
    int32_t weights;       /* bytes of four channels' weights */
    int32_t skipped;       /* bytes of four channels' weights before the first tap inside the image */
    uint32_t offsets;      /* the input offset in both halfwords */
    const int8_t *input;   /* the first tap inside the image */
    const int32_t *stream;
    int32_t input_column;  /* bytes from a tap to the next */
    int32_t columns;       /* of taps inside the image, >= 1 where there are rows */
    int32_t input_row;     /* bytes from the end of a row of taps to the next */
    int32_t filter_row;    /* the same in `stream` */
    int32_t shift;
    int32_t shift_mask;
    int32_t rounding;
    int8_t *output;
    int32_t channels;
    int32_t rows_left;
    const int32_t *scales;
} frame;

/* All channels of a pixel, four at a time, the last of them again where the depth is no multiple of four: 13 instructions for four
 * multiply-accumulates and all registers; compilers spill. */
static TINYC_DSP_ASSEMBLY void channels(frame *f __attribute__((unused))) {
    __asm volatile(
        "push {r4-r11, lr}\n\t"
        "mov lr, r0\n"
        "1:\n\t"
        "ldm lr, {r4, r6-r12}\n\t"
        "ldm r10!, {r1, r3}\n\t"
        "sxth r0, r1\n\t"
        "asr r1, r1, #16\n\t"
        "sxth r2, r3\n\t"
        "asr r3, r3, #16\n\t"
        "cmn r0, #32768\n\t"
        "bne 3f\n\t"
        "ldm r10!, {r0-r3}\n"
        "3:\n\t"
        "add r6, r6, r10\n\t"
        "str r6, [lr, #64]\n\t"
        "add r10, r10, r7\n\t"
        "cbz r4, 6f\n"
        "4:\n\t"
        "str r4, [lr, #60]\n"
        "5:\n\t" /* a tap of channels 0 to 3, whose sums are in r0 to r3 */
        "ldr r5, [r10], #4\n\t"
        "ldr r4, [r9]\n\t"
        "add r9, r9, r11\n\t"
        "sxtab16 r6, r8, r4\n\t"
        "sxtb16 r7, r5\n\t"
        "sxtab16 r4, r8, r4, ror #8\n\t"
        "sxtb16 r5, r5, ror #8\n\t"
        "smlabb r0, r6, r7, r0\n\t"
        "smlatt r2, r6, r7, r2\n\t"
        "smlabb r1, r4, r5, r1\n\t"
        "smlatt r3, r4, r5, r3\n\t"
        "subs r12, r12, #1\n\t"
        "bne 5b\n\t"
        "ldr r4, [lr, #60]\n\t"
        "ldrd r12, r5, [lr, #28]\n\t"
        "ldr r6, [lr, #36]\n\t"
        "add r9, r9, r5\n\t"
        "add r10, r10, r6\n\t"
        "subs r4, r4, #1\n\t"
        "bne 4b\n"
        "6:\n\t"
        "ldr r11, [lr, #64]\n\t"
        "ldrd r8, r9, [lr, #40]\n\t"
        "ldrd r10, r12, [lr, #48]\n\t"
        "ldm r11!, {r4-r7}\n\t"
        TINYC_COMPACT_REQUANTIZE("r0", "r4", "r8", "r9", "r10")
        TINYC_COMPACT_REQUANTIZE("r1", "r5", "r8", "r9", "r10")
        TINYC_COMPACT_REQUANTIZE("r2", "r6", "r8", "r9", "r10")
        TINYC_COMPACT_REQUANTIZE("r3", "r7", "r8", "r9", "r10")
        "strb r0, [r12], #1\n\t"
        "strb r1, [r12], #1\n\t"
        "strb r2, [r12], #1\n\t"
        "strb r3, [r12], #1\n\t"
        "ldr r1, [lr, #56]\n\t"
        "ldr r0, [lr, #16]\n\t"
        "adds r0, r0, #4\n\t"
        "subs r1, r1, #4\n\t"
        "beq 9f\n\t"
        "subs r2, r1, #4\n\t"
        "bmi 8f\n"
        "7:\n\t"
        "strd r12, r1, [lr, #52]\n\t"
        "strd r0, r11, [lr, #16]\n\t"
        "b 1b\n"
        "8:\n\t" /* less than four are left: back */
        "add r0, r0, r2\n\t"
        "add r12, r12, r2\n\t"
        "movs r1, #4\n\t"
        "b 7b\n"
        "9:\n\t"
        "pop {r4-r11, pc}\n\t");
}

/* No `restrict`: the output may reach over the input. */
TINYC_KERNEL void tinyc_depthwise_compact_s8_dsp(const tinyc_depthwise_compact_dsp_params *params, const int8_t *input, int8_t *output) {
    const tinyc_depthwise_compact_dsp_params *const p = params;
    const int32_t input_row = p->input_width * p->depth;
    frame f;
    f.offsets = (uint32_t)(uint16_t)p->input_offset * 0x10001u;
    f.shift = p->shift;
    f.shift_mask = p->shift_mask;
    f.rounding = p->rounding;
    f.weights = p->filter_height * p->filter_width * 4;
    f.input_column = p->dilation_width * p->depth;
    for (int32_t batch = p->batches; batch > 0; batch--) {
        for (int32_t row = 0; row < p->output_height; row++) {
            const int32_t y = row * p->stride_height - p->pad_height;
            const tinyc_taps ky = tinyc_taps_inside(y, p->input_height, p->filter_height, p->dilation_height);
            for (int32_t column = 0; column < p->output_width; column++) {
                const int32_t x = column * p->stride_width - p->pad_width;
                const tinyc_taps kx = tinyc_taps_inside(x, p->input_width, p->filter_width, p->dilation_width);
                f.columns = kx.end - kx.first;
                f.rows = f.columns == 0 ? 0 : ky.end - ky.first;
                f.input = input + (y + ky.first * p->dilation_height) * input_row + (x + kx.first * p->dilation_width) * p->depth;
                f.input_row = p->dilation_height * input_row - f.columns * f.input_column;
                f.filter_row = (p->filter_width - f.columns) * 4;
                f.skipped = (ky.first * p->filter_width + kx.first) * 4;
                f.output = output;
                f.stream = p->stream;
                f.channels = p->depth;
                channels(&f);
                if (p->activation_max - p->activation_min < 255) {
                    tinyc_compact_clamp(output, p->depth, p->activation_min, p->activation_max);
                }
                output += p->depth;
            }
        }
        input += p->input_height * input_row;
    }
}
