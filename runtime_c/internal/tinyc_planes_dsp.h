/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise convolution by planes, for cores with the DSP extension: some channels at a time are transposed from NHWC to lines of
 * halfwords, padding included, so that one SMLAD multiplies neighbouring columns. A kernel brings the function that computes the output
 * lines of some channels from their planes; the rest, here, is shared. */
#ifndef TINYC_PLANES_DSP_H
#define TINYC_PLANES_DSP_H

#include "tinyc_kernels.h"

#if !defined(__ARM_FEATURE_DSP)
#error "tinyc_planes_dsp.h needs the DSP extension: compile with -mcpu=cortex-m4, cortex-m7, cortex-m33 or the like"
#endif

#include "tinyc_dsp.h"

/* Channels that are transposed together: four, or two where a kernel says so before it includes this file. */
#if !defined(TINYC_PLANES_LANES)
#define TINYC_PLANES_LANES 4
#endif

/* What runs once per four channels and band is written to be small. */
#if defined(__clang__)
#define TINYC_DSP_SMALL __attribute__((noinline, minsize))
#else
#define TINYC_DSP_SMALL __attribute__((noinline, optimize("Os")))
#endif

/* What a kernel's line function gets; `plane` to `band_bytes` change from call to call. A function in assembly copies it to its stack up to
 * there, in this order, and has the `own` words there to itself. */
typedef struct {
    int32_t own[6];
    int32_t whole_bytes;        /* of a plane's line, that all the steps of an output line go through */
    int32_t skip;               /* bytes of code to skip in the unrolled steps, the first time */
    int32_t plane_step;         /* bytes from where the steps of an output line end in the plane to where the next one's begin */
    int32_t output_step;        /* the same in the output */
    int32_t rest;               /* whether an output is left after the steps */
    int32_t several;            /* whether a line goes through the unrolled steps more than once */
    int32_t own_12;
    int32_t column_step;        /* bytes from one output to the next in its line */
    int32_t rounding;
    const int32_t *const *plane; /* addresses of the channels' planes */
    int32_t plane_advance;      /* bytes from one channel's address to the next one's: 4, or 0 when all read the same plane */
    int8_t *output;             /* of the first channel, the others follow */
    const int32_t *record;
    int32_t channels;
    int32_t band_bytes;         /* of a plane, that the output lines of this call go through */
    const tinyc_depthwise_dsp_params *params;
    int32_t *spare;             /* scratch after the planes */
} tinyc_planes_call;

typedef void tinyc_planes_lines(const tinyc_planes_call *call);

/* One call of the transposition. */
typedef struct {
    int32_t source_step; /* bytes from where reading a line ends to the next line */
    int32_t plane_step;  /* bytes from where writing a line ends to the next line */
    int32_t lines;
    int32_t quads;       /* of columns, with an incomplete first one, without an incomplete last one */
    int32_t entry;       /* 0: the first quad is complete; 1 to 3: it begins with so many columns of padding; 4: the last is the first */
    int32_t last;        /* columns of an incomplete last quad, or 0 */
    uint32_t padding;    /* four bytes */
    const int8_t *source;
    int32_t column_step;
    int32_t *plane[4];   /* of TINYC_PLANES_LANES channels */
    int32_t offset;      /* bytes in each plane */
} tinyc_planes_quads;

/* Four columns of all channels, loaded with one instruction per column (r0 to r3), become two words in each of the planes (r6 to r9). */
#if TINYC_PLANES_LANES == 4
#define TINYC_PLANES_LOAD "ldr"
#define TINYC_PLANES_STORE                  \
    "pkhbt r4, r0, r1, lsl #16\n\t"         \
    "pkhtb r0, r1, r0, asr #16\n\t"         \
    "pkhbt r5, r2, r3, lsl #16\n\t"         \
    "pkhtb r2, r3, r2, asr #16\n\t"         \
    "sxtb16 r1, r4\n\t"                     \
    "sxtb16 r3, r5\n\t"                     \
    "strd r1, r3, [r6], #8\n\t"             \
    "sxtb16 r4, r4, ror #8\n\t"             \
    "sxtb16 r5, r5, ror #8\n\t"             \
    "strd r4, r5, [r7], #8\n\t"             \
    "sxtb16 r1, r0\n\t"                     \
    "sxtb16 r3, r2\n\t"                     \
    "strd r1, r3, [r8], #8\n\t"             \
    "sxtb16 r0, r0, ror #8\n\t"             \
    "sxtb16 r2, r2, ror #8\n\t"             \
    "strd r0, r2, [r9], #8\n\t"
#else
#define TINYC_PLANES_LOAD "ldrh"
#define TINYC_PLANES_STORE                  \
    "pkhbt r4, r0, r1, lsl #16\n\t"         \
    "pkhbt r5, r2, r3, lsl #16\n\t"         \
    "sxtb16 r1, r4\n\t"                     \
    "sxtb16 r3, r5\n\t"                     \
    "strd r1, r3, [r6], #8\n\t"             \
    "sxtb16 r4, r4, ror #8\n\t"             \
    "sxtb16 r5, r5, ror #8\n\t"             \
    "strd r4, r5, [r7], #8\n\t"
#endif

static TINYC_DSP_ASSEMBLY void tinyc_planes_transpose(const tinyc_planes_quads *quads __attribute__((unused))) {
    __asm volatile(
        "push {r4-r11, lr}\n\t"
        "ldm r0!, {r1-r7}\n\t"
        "adr r8, 1f\n\t"
        "ldrb r9, [r8, r5]\n\t"
        "add r5, r8, r9, lsl #1\n\t"
        "add r5, r5, #1\n\t"
        "push {r1-r7}\n\t"
        "ldm r0, {r4-r10}\n\t"
        "mov r11, r5\n\t"
        "add lr, r11, r11, lsl #1\n\t"
        "mov r12, r10\n\t"
        "mov r10, r4\n\t"
        "add r6, r6, r12\n\t"
        "add r7, r7, r12\n\t"
        "add r8, r8, r12\n\t"
        "add r9, r9, r12\n\t"
        "b 2f\n\t"
        ".p2align 2\n"
        "1:\n\t" /* where a line starts, by `entry` */
        ".byte (5f - 1b) / 2\n\t"
        ".byte (11f - 1b) / 2\n\t"
        ".byte (12f - 1b) / 2\n\t"
        ".byte (13f - 1b) / 2\n\t"
        ".byte (7f - 1b) / 2\n\t"
        ".p2align 1\n"
        "2:\n\t" /* a line */
        "ldr r12, [sp, #12]\n\t"
        "ldr pc, [sp, #16]\n"
        "11:\n\t"
        "ldr r0, [sp, #24]\n\t"
        TINYC_PLANES_LOAD " r1, [r10]\n\t"
        TINYC_PLANES_LOAD " r2, [r10, r11]\n\t"
        TINYC_PLANES_LOAD " r3, [r10, r11, lsl #1]\n\t"
        "add r10, r10, lr\n\t"
        "b 6f\n"
        "12:\n\t"
        "ldr r0, [sp, #24]\n\t"
        "mov r1, r0\n\t"
        TINYC_PLANES_LOAD " r2, [r10]\n\t"
        TINYC_PLANES_LOAD " r3, [r10, r11]\n\t"
        "add r10, r10, r11, lsl #1\n\t"
        "b 6f\n"
        "13:\n\t"
        "ldr r0, [sp, #24]\n\t"
        "mov r1, r0\n\t"
        "mov r2, r0\n\t"
        TINYC_PLANES_LOAD " r3, [r10]\n\t"
        "add r10, r10, r11\n\t"
        "b 6f\n"
        "5:\n\t" /* a complete quad */
        TINYC_PLANES_LOAD " r0, [r10]\n\t"
        TINYC_PLANES_LOAD " r1, [r10, r11]\n\t"
        TINYC_PLANES_LOAD " r2, [r10, r11, lsl #1]\n\t"
        TINYC_PLANES_LOAD " r3, [r10, lr]\n\t"
        "add r10, r10, r11, lsl #2\n"
        "6:\n\t"
        TINYC_PLANES_STORE
        "subs r12, r12, #1\n\t"
        "bgt 5b\n\t"
        "bmi 9f\n"
        "7:\n\t" /* an incomplete last quad */
        "ldr r4, [sp, #20]\n\t"
        "cbz r4, 9f\n\t"
        "ldr r3, [sp, #24]\n\t"
        "mov r2, r3\n\t"
        "mov r1, r3\n\t"
        TINYC_PLANES_LOAD " r0, [r10]\n\t"
        "cmp r4, #2\n\t"
        "it ge\n\t"
        TINYC_PLANES_LOAD "ge r1, [r10, r11]\n\t"
        "it gt\n\t"
        TINYC_PLANES_LOAD "gt r2, [r10, r11, lsl #1]\n\t"
        "b 6b\n"
        "9:\n\t"
        "ldrd r0, r1, [sp]\n\t"
        "add r10, r10, r0\n\t"
        "add r6, r6, r1\n\t"
        "add r7, r7, r1\n\t"
        "add r8, r8, r1\n\t"
        "add r9, r9, r1\n\t"
        "ldr r0, [sp, #8]\n\t"
        "subs r0, r0, #1\n\t"
        "str r0, [sp, #8]\n\t"
        "bne 2b\n\t"
        "add sp, sp, #28\n\t"
        "pop {r4-r11, pc}\n\t");
}

/* The same for fewer channels than that, or for lines without a complete quad after the padding. */
static TINYC_DSP_SMALL void tinyc_planes_gather(const tinyc_depthwise_dsp_params *p, const int8_t *source,
                                                          int32_t *const planes[4], int32_t offset, int32_t lines) {
    for (int32_t channel = 0; channel < TINYC_PLANES_LANES && channel < p->channels; channel++) {
        int16_t *to = (int16_t *)planes[channel] + (offset >> 1) + p->pad_columns;
        const int8_t *from = source + channel;
        for (int32_t line = 0; line < lines; line++) {
            const int8_t *x = from;
            for (int32_t column = 0; column < p->input_columns; column++) {
                to[column] = *x;
                x += p->input_column_step;
            }
            to += p->plane_pitch >> 1;
            from += p->input_line_step;
        }
    }
}

/* Copies words from `from`, or stores `value` where that is NULL; a multiple of four. */
static TINYC_DSP_ASSEMBLY void tinyc_planes_move(int32_t *to __attribute__((unused)), const int32_t *from __attribute__((unused)),
                                                 int32_t value __attribute__((unused)), int32_t words __attribute__((unused))) {
    __asm volatile(
        "push {r4-r10, lr}\n\t"
        "mov lr, r3\n\t"
        "mov r3, r2\n\t"
        "mov r4, r2\n\t"
        "mov r5, r2\n\t"
        "mov r6, r2\n\t"
        "mov r7, r2\n\t"
        "mov r8, r2\n\t"
        "mov r9, r2\n\t"
        "tst lr, #4\n\t"
        "beq 4f\n\t"
        "cbz r1, 3f\n\t"
        "ldm r1!, {r2-r5}\n"
        "3:\n\t"
        "stm r0!, {r2-r5}\n\t"
        "subs lr, lr, #4\n\t"
        "beq 5f\n"
        "4:\n\t"
        "cbz r1, 2f\n"
        "1:\n\t"
        "ldm r1!, {r2-r9}\n\t"
        "stm r0!, {r2-r9}\n\t"
        "subs lr, lr, #8\n\t"
        "bne 1b\n\t"
        "pop {r4-r10, pc}\n"
        "2:\n\t"
        "stm r0!, {r2-r9}\n\t"
        "subs lr, lr, #8\n\t"
        "bne 2b\n"
        "5:\n\t"
        "pop {r4-r10, pc}\n\t");
}

/* Lines `to` and on of all planes, from lines `from` and on or, where that is negative, all padding. */
static TINYC_DSP_SMALL void tinyc_planes_move_lines(const tinyc_depthwise_dsp_params *p, int32_t *scratch, int32_t to, int32_t from, int32_t lines) {
    const int32_t pitch = p->plane_pitch >> 2;
    const int32_t padding = (int32_t)((uint32_t)p->input_zero_point << 16 | (uint16_t)p->input_zero_point);
    for (int32_t region = 0; region < TINYC_PLANES_LANES; region += p->planes_per_pitch) {
        tinyc_planes_move(scratch + to * pitch, from < 0 ? NULL : scratch + from * pitch, padding, lines * pitch);
        scratch += p->buffer_lines * pitch;
    }
}

/* The input lines `line` to `end` - 1 of some channels, to line `to` of their planes and on. */
static TINYC_DSP_SMALL void tinyc_planes_load(const tinyc_depthwise_dsp_params *p, const int8_t *input, tinyc_planes_quads *quads, int32_t *const planes[4],
                              int32_t to, int32_t line, int32_t end) {
    /* When all lines are in the planes at once, nothing overwrites the padding between some channels and the next. */
    const int32_t fill = p->band < p->output_lines;
    if (line < 0) {
        const int32_t above = (end < 0 ? end : 0) - line;
        if (fill) {
            tinyc_planes_move_lines(p, planes[0], to, -1, above);
        }
        to += above;
        line += above;
    }
    const int32_t inside = (end < p->input_lines ? end : p->input_lines) - line;
    if (inside > 0) {
        const int8_t *const source = input + line * p->input_line_step;
        const int32_t offset = to * p->plane_pitch;
        if (p->entry < 0) {
            tinyc_planes_gather(p, source, planes, offset, inside);
        } else {
            quads->source = source;
            quads->offset = offset;
            quads->lines = inside;
            tinyc_planes_transpose(quads);
        }
        to += inside;
        line += inside;
    }
    if (fill && end > line) {
        tinyc_planes_move_lines(p, planes[0], to, -1, end - line);
    }
}

/* All channels of one image. */
static TINYC_DSP_SMALL void tinyc_planes_image(const tinyc_depthwise_dsp_params *p, const int8_t *input, const int32_t *records, int8_t *output,
                               int32_t *scratch, tinyc_planes_call *call, tinyc_planes_lines *lines) {
    tinyc_planes_quads quads;
    int32_t *planes[4];
    int32_t *where = scratch;
    for (int32_t lane = 0; lane < TINYC_PLANES_LANES; lane++) {
        planes[lane] = where + (lane % p->planes_per_pitch) * p->plane_words;
        /* Complete quads of padding are in the planes from the start. */
        quads.plane[lane] = planes[lane] + (p->pad_columns >> 2) * 2;
        if ((lane + 1) % p->planes_per_pitch == 0) {
            where += p->buffer_lines * (p->plane_pitch >> 2);
        }
    }
    const int32_t columns = p->quads * 4 - (p->entry & 3);
    quads.source_step = p->input_line_step - columns * p->input_column_step;
    quads.plane_step = p->plane_pitch - ((p->quads + (p->last > 0)) << 3);
    quads.column_step = p->input_column_step;
    quads.entry = p->entry;
    quads.quads = p->quads;
    quads.last = p->last;
    quads.padding = 0x01010101u * (uint8_t)p->input_zero_point;
    for (int32_t channel = 0; channel < p->channels; channel += TINYC_PLANES_LANES) {
        /* The last channels may overlap those before: their input has been overwritten when in place, so they are only loaded. */
        const int32_t first = p->channels >= TINYC_PLANES_LANES && channel > p->channels - TINYC_PLANES_LANES
                                  ? p->channels - TINYC_PLANES_LANES : channel;
        const int32_t count = p->channels - channel < TINYC_PLANES_LANES ? p->channels - channel : TINYC_PLANES_LANES;
        int32_t loaded = -p->pad_lines; /* input lines before this are in the planes */
        for (int32_t row = 0; row < p->output_lines; row += p->band) {
            const int32_t rows = p->output_lines - row < p->band ? p->output_lines - row : p->band;
            const int32_t top = row * p->stride_lines - p->pad_lines;
            const int32_t end = top + (rows - 1) * p->stride_lines + p->filter_lines;
            const int32_t kept = loaded > top ? loaded - top : 0;
            if (row > 0 && kept > 0) {
                tinyc_planes_move_lines(p, scratch, 0, p->band * p->stride_lines, kept);
            }
            tinyc_planes_load(p, input + first, &quads, planes, kept, top + kept, end);
            loaded = end;
            call->band_bytes = rows * p->stride_lines * p->plane_pitch;
            call->output = output + row * p->output_line_step + channel * p->multiplier;
            call->record = records + channel * p->multiplier * p->record_words;
            if (p->multiplier == 1) {
                call->plane = (const int32_t *const *)planes + (channel - first);
                call->plane_advance = 4;
                call->channels = count;
                lines(call);
            } else {
                call->plane_advance = 0;
                call->channels = p->multiplier;
                for (int32_t lane = 0; lane < count; lane++) {
                    call->plane = (const int32_t *const *)planes + (channel - first) + lane;
                    lines(call);
                    call->output += p->multiplier;
                    call->record += p->multiplier * p->record_words;
                }
            }
        }
    }
}

/* The whole layer; `call` is set but for what changes from call to call. */
static TINYC_DSP_SMALL void tinyc_planes_depthwise(const tinyc_depthwise_dsp_params *p, const int8_t *input, const int32_t *records, int8_t *output,
                                   void *scratch, tinyc_planes_call *call, tinyc_planes_lines *lines) {
    call->params = p;
    call->column_step = p->output_column_step;
    tinyc_planes_move_lines(p, scratch, 0, -1, p->buffer_lines);
    for (int32_t batch = 0; batch < p->batches; batch++) {
        tinyc_planes_image(p, input, records, output, scratch, call, lines);
        input += p->input_size;
        output += p->output_size;
    }
    const int32_t count = p->batches * p->output_size;
    tinyc_dsp_clamp(output - count, count, p->activation_min, p->activation_max);
}

#endif
