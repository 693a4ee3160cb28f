/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_mve.h"
#include "tinyc_window.h"

#if !defined(__ARM_FEATURE_MVE) || !(__ARM_FEATURE_MVE & 1)
#error "tinyc_depthwise_conv_2d_s8_mve.c needs Helium: compile with -mcpu=cortex-m55 or -mcpu=cortex-m85 (-march=armv8.1-m.main+mve)"
#endif

#include <arm_mve.h>

/* One output pixel, as the assembly reads it. */
typedef struct {
    const int32_t *stream;
    const int8_t *x;        /* the first tap inside the image */
    int8_t *output;
    int32_t rows;           /* of the window inside the image */
    int32_t columns;        /* 0 only if rows is */
    int32_t input_tap;      /* what pointers move by after a tap, and in addition after a row of taps */
    int32_t input_row;
    int32_t filter_row;
    int32_t channels;
    int32_t input_offset;
    int32_t filter_first;   /* bytes of weights before the first tap inside */
    int32_t filter_size;    /* bytes of weights */
    int32_t gathered;       /* with fewer channels left than this, inputs are gathered */
    int32_t shared;         /* whether the stream says which, else they are `last` */
    int32_t output_zero_point;
    int32_t zero;
    uint16_t last[8];       /* the channels of the last, incomplete group; none past the pixel's end */
} pixel;

/* Eight products: even channels to q4, odd ones to q5. r7 input, r0 weights. */
#define TAP(from)                     \
    "vldrb.s16 q0, " from "\n\t"      \
    "vldrb.s16 q1, [r0], #8\n\t"      \
    "vadd.i16 q0, q0, r11\n\t"        \
    "vmullb.s16 q2, q0, q1\n\t"       \
    "vmullt.s16 q3, q0, q1\n\t"       \
    "vadd.i32 q4, q4, q2\n\t"         \
    "add r7, r7, r6\n\t"              \
    "vadd.i32 q5, q5, q3\n\t"
#define WINDOW(row, tap, from)        \
    row ":\n\t"                       \
    "dls lr, r5\n"                    \
    tap ":\n\t"                       \
    TAP(from)                         \
    "le lr, " tap "b\n\t"             \
    "add r7, r7, r8\n\t"              \
    "add r0, r0, r9\n\t"              \
    "subs r12, r12, #1\n\t"           \
    "bne " row "b\n"
/* Lanes with a shift of 0 get no sign, see tinyc_mve.h. */
#define REQUANTIZE(sum, shift)                    \
    "vand q2, " sum ", " shift "\n\t"             \
    "vqdmlah.s32 " sum ", q2, r7\n\t"             \
    "vrshl.s32 " sum ", " sum ", " shift "\n\t"

/* All channels, eight at a time. r1 stream, r2 input, r3 output, r10 channels left. Stack: filter_first, filter_size, gathered, shared,
 * output_zero_point, zero, last. */
static TINYC_MVE_ASSEMBLY void one_pixel(const pixel *p __attribute__((unused))) {
    __asm volatile(
        "push {r4-r11, lr}\n\t"
        "vpush {d8-d15}\n\t"
        "sub sp, sp, #40\n\t"
        "add r12, r0, #40\n\t"
        "ldm r12!, {r1-r6}\n\t"
        "stm sp, {r1-r6}\n\t"
        "vldrw.u32 q7, [r12]\n\t"
        "vstrw.32 q7, [sp, #24]\n\t"
        "ldm r0, {r1-r6, r8-r11}\n"
        "1:\n\t"
        "vldrw.u32 q4, [r1], #16\n\t"
        "vldrw.u32 q5, [r1], #16\n\t"
        "ldr r0, [sp, #8]\n\t"
        "mov r7, r2\n\t"
        "mov r12, r4\n\t"
        "cmp r10, r0\n\t"
        "ldr r0, [sp]\n\t"
        "blt 6f\n\t"
        "add r0, r0, r1\n\t"
        "cbz r4, 5f\n"
        WINDOW("2", "3", "[r7]")
        "5:\n\t"
        "ldr r0, [sp, #4]\n\t"
        "add r1, r1, r0\n\t"
        "vldrw.u32 q0, [r1], #16\n\t"
        "vldrw.u32 q1, [r1], #16\n\t"
        "vqrdmulh.s32 q4, q4, q0\n\t"
        "vqrdmulh.s32 q5, q5, q1\n\t"
        "vldrw.u32 q0, [r1], #16\n\t"
        "vldrw.u32 q1, [r1], #16\n\t"
        "movs r7, #1\n\t"
        REQUANTIZE("q4", "q0")
        REQUANTIZE("q5", "q1")
        "ldr r0, [sp, #16]\n\t"
        "vqmovnb.s32 q4, q4\n\t"
        "vqmovnt.s32 q4, q5\n\t"
        "vqadd.s16 q4, q4, r0\n\t"
        "vqmovnb.s16 q4, q4\n\t"
        "vctp.16 r10\n\t"
        "vpst\n\t"
        "vstrbt.16 q4, [r3], #8\n\t"
        "add r2, r2, #8\n\t"
        "subs r10, r10, #8\n\t"
        "bgt.w 1b\n\t"
        "add sp, sp, #40\n\t"
        "vpop {d8-d15}\n\t"
        "pop {r4-r11, pc}\n"
        "6:\n\t" /* gathered */
        "ldr lr, [sp, #12]\n\t"
        "vldrw.u32 q7, [sp, #24]\n\t"
        "cmp lr, #0\n\t"
        "beq 7f\n\t"
        "vldrw.u32 q7, [r1], #16\n\t"
        "subs r2, r2, #8\n" /* the stream counts from the pixel's first channel */
        "7:\n\t"
        "add r0, r0, r1\n\t"
        "cmp r4, #0\n\t"
        "beq.w 5b\n"
        WINDOW("8", "9", "[r7, q7]")
        "b 5b\n\t");
}

static void clamp(int8_t *data, int32_t count, int32_t low, int32_t high) {
    const int8x16_t lows = vdupq_n_s8((int8_t)low);
    const int8x16_t highs = vdupq_n_s8((int8_t)high);
    for (; count > 0; count -= 16) {
        const mve_pred16_t inside = vctp8q((uint32_t)count);
        vstrbq_p_s8(data, vminq_s8(vmaxq_s8(vldrbq_z_s8(data, inside), lows), highs), inside);
        data += 16;
    }
}

/* No `restrict`: the output may reach over the input. */
TINYC_KERNEL void tinyc_depthwise_conv_2d_s8_mve(const tinyc_depthwise_conv_2d_mve_params *params, const int8_t *input,
                                                 const int32_t *restrict stream, int8_t *output) {
    const tinyc_depthwise_conv_2d_mve_params *const p = params;
    const int32_t channels = p->output_depth;
    const int32_t row_step = p->dilation_height * p->input_width * p->input_depth;
    const int32_t outputs = p->batches * p->output_height * p->output_width * channels;
    pixel f;
    f.stream = stream;
    f.input_tap = p->dilation_width * p->input_depth;
    f.channels = channels;
    f.input_offset = p->input_offset;
    f.filter_size = 8 * p->filter_height * p->filter_width;
    f.shared = channels != p->input_depth ? 1 : 0;
    f.gathered = f.shared != 0 ? INT32_MAX : 8;
    f.output_zero_point = p->output_zero_point;
    f.zero = 0;
    for (int32_t i = 0; i < 8; i++) {
        f.last[i] = (uint16_t)(i < (channels & 7) ? i : 0);
    }
    for (int32_t batch = 0; batch < p->batches; batch++) {
        for (int32_t row = 0; row < p->output_height; row++) {
            const int32_t y = row * p->stride_height - p->pad_height;
            const tinyc_taps ky = tinyc_taps_inside(y, p->input_height, p->filter_height, p->dilation_height);
            for (int32_t column = 0; column < p->output_width; column++) {
                const int32_t x = column * p->stride_width - p->pad_width;
                const tinyc_taps kx = tinyc_taps_inside(x, p->input_width, p->filter_width, p->dilation_width);
                f.columns = kx.end - kx.first;
                f.rows = f.columns > 0 ? ky.end - ky.first : 0;
                f.x = input + ((y + ky.first * p->dilation_height) * p->input_width + x + kx.first * p->dilation_width) * p->input_depth;
                f.input_row = row_step - f.columns * f.input_tap;
                f.filter_row = 8 * (p->filter_width - f.columns);
                f.filter_first = 8 * (ky.first * p->filter_width + kx.first);
                f.output = output;
                one_pixel(&f);
                output += channels;
            }
        }
        input += p->input_height * p->input_width * p->input_depth;
    }
    if (p->activation_min > -128 || p->activation_max < 127) {
        clamp(output - outputs, outputs, p->activation_min, p->activation_max);
    }
}
