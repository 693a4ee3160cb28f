/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_dsp.h"
#include "tinyc_patches_dsp.h"

/* What `transform` gets. */
typedef struct {
    const int8_t *source;   /* 4 x 4 pixels */
    int32_t pitch;          /* bytes from row to row */
    int32_t depth;          /* bytes from column to column, a multiple of 4 */
    uint32_t *v;
    uint32_t *v_end;
} tile;

/* What `products` copies to its stack, in this order. */
typedef struct {
    uint32_t *end;          /* of v, for the place at hand */
    int32_t *m_now;
    uint32_t skip;          /* bytes of code before the step that the unrolled loop begins with */
    int32_t back;           /* bytes from the end of v for one place to the start for the next */
    int32_t *m_end;
    const int32_t *stream_end;
    int8_t *output[2];      /* of the tiles: their first pixels */
    int32_t next[2][2];     /* bytes from there to the next column and to the next row; 0 where the image ends */
    uint32_t *v;
    int32_t *m;
    const int32_t *stream;
    uint32_t *v_end;
    int32_t *m_first_end;   /* after the four channels of m's first tile */
    int32_t spare;
} frame;

#define LOAD(a, b, c, d, ror)               \
    "ldr " a ", [r0]\n\t"                   \
    "ldr " b ", [r0, r2]\n\t"               \
    "ldr " c ", [r0, r2, lsl #1]\n\t"       \
    "ldr " d ", [r0, r3]\n\t"               \
    "sxtb16 " a ", " a ror "\n\t"           \
    "sxtb16 " b ", " b ror "\n\t"           \
    "sxtb16 " c ", " c ror "\n\t"           \
    "sxtb16 " d ", " d ror "\n\t"

/* a, b, c, d of a row become a - c (a), b + c (t), c - b (c), b - d (d). */
#define ACROSS(a, b, c, d, t)               \
    "sadd16 " t ", " b ", " c "\n\t"        \
    "ssub16 " a ", " a ", " c "\n\t"        \
    "ssub16 " c ", " c ", " b "\n\t"        \
    "ssub16 " d ", " b ", " d "\n\t"

/* One of four columns: the difference of two rows, to v. */
#define DOWN(a, b, to)                      \
    "ssub16 " a ", " a ", " b "\n\t"        \
    "str " a ", [r1, #" to "]\n\t"

/* Rows h1 (a) and h2 (b) become h2 - h1 (b), and h1 + h2 goes to v. */
#define MIDDLE(a, b, t, sum, difference)    \
    "sadd16 " t ", " a ", " b "\n\t"        \
    "str " t ", [r1, #" sum "]\n\t"         \
    "ssub16 " b ", " b ", " a "\n\t"        \
    "str " b ", [r1, #" difference "]\n\t"

/* A tile of all input channels to V = Bt d B, as v[pair of channels][place][tile], places in rows of four. Two of four channels at a time
 * in the halves of a word: 0 and 2, then 1 and 3. */
static TINYC_DSP_ASSEMBLY void transform(const tile *t __attribute__((unused))) {
    __asm volatile(
        "push {r4-r11, lr}\n\t"
        "ldr r1, [r0, #16]\n\t"
        "push {r1, r2}\n\t"
        "ldm r0, {r0, r1, r2, r3}\n\t"
        "mov r12, r1\n\t"
        "mov r1, r3\n\t"
        "add r3, r2, r2, lsl #1\n"
        "1:\n\t" /* channels 0 and 2 */
        "add r0, r0, r12, lsl #1\n\t"
        LOAD("r4", "r5", "r6", "r7", "")
        ACROSS("r4", "r5", "r6", "r7", "r8")           /* h2: r4 r8 r6 r7 */
        "sub r0, r0, r12, lsl #1\n\t"
        LOAD("r5", "r9", "r10", "r11", "")
        ACROSS("r5", "r9", "r10", "r11", "lr")         /* h0: r5 lr r10 r11 */
        DOWN("r5", "r4", "0") DOWN("lr", "r8", "8") DOWN("r10", "r6", "16") DOWN("r11", "r7", "24")
        "add r0, r0, r12\n\t"
        LOAD("r5", "r9", "r10", "r11", "")
        ACROSS("r5", "r9", "r10", "r11", "lr")         /* h1: r5 lr r10 r11 */
        MIDDLE("r5", "r4", "r9", "32", "64") MIDDLE("lr", "r8", "r9", "40", "72")
        MIDDLE("r10", "r6", "r9", "48", "80") MIDDLE("r11", "r7", "r9", "56", "88")
        "add r0, r0, r12, lsl #1\n\t"
        LOAD("r4", "r6", "r7", "r8", "")
        ACROSS("r4", "r6", "r7", "r8", "r9")           /* h3: r4 r9 r7 r8 */
        DOWN("r5", "r4", "96") DOWN("lr", "r9", "104") DOWN("r10", "r7", "112") DOWN("r11", "r8", "120")
        "sub r0, r0, r12\n\t" /* channels 1 and 3, rows 2, 0, 1, 3 again */
        LOAD("r4", "r5", "r6", "r7", ", ror #8")
        ACROSS("r4", "r5", "r6", "r7", "r8")
        "sub r0, r0, r12, lsl #1\n\t"
        LOAD("r5", "r9", "r10", "r11", ", ror #8")
        ACROSS("r5", "r9", "r10", "r11", "lr")
        DOWN("r5", "r4", "128") DOWN("lr", "r8", "136") DOWN("r10", "r6", "144") DOWN("r11", "r7", "152")
        "add r0, r0, r12\n\t"
        LOAD("r5", "r9", "r10", "r11", ", ror #8")
        ACROSS("r5", "r9", "r10", "r11", "lr")
        MIDDLE("r5", "r4", "r9", "160", "192") MIDDLE("lr", "r8", "r9", "168", "200")
        MIDDLE("r10", "r6", "r9", "176", "208") MIDDLE("r11", "r7", "r9", "184", "216")
        "add r0, r0, r12, lsl #1\n\t"
        LOAD("r4", "r6", "r7", "r8", ", ror #8")
        ACROSS("r4", "r6", "r7", "r8", "r9")
        DOWN("r5", "r4", "224") DOWN("lr", "r9", "232") DOWN("r10", "r7", "240") DOWN("r11", "r8", "248")
        "sub r0, r0, r12\n\t"
        "sub r0, r0, r12, lsl #1\n\t"
        "adds r0, r0, #4\n\t"
        "add r1, r1, #256\n\t"
        "ldr r4, [sp]\n\t"
        "cmp r1, r4\n\t"
        "bne.w 1b\n\t"
        "add sp, sp, #8\n\t"
        "pop {r4-r11, pc}\n\t");
}

/* Two input channels, four output channels, two tiles: 16 multiplications in 11 instructions (44 bytes of code). r0 to r3 are the
 * channels of tile 0, r4 to r7 of tile 1. */
#define STEP                            \
    "ldrd r8, r9, [r12], #128\n\t"      \
    "ldrd r10, r11, [lr], #8\n\t"       \
    "smlad r0, r8, r10, r0\n\t"         \
    "smlad r4, r9, r10, r4\n\t"         \
    "smlad r1, r8, r11, r1\n\t"         \
    "smlad r5, r9, r11, r5\n\t"         \
    "ldrd r10, r11, [lr], #8\n\t"       \
    "smlad r2, r8, r10, r2\n\t"         \
    "smlad r6, r9, r10, r6\n\t"         \
    "smlad r3, r8, r11, r3\n\t"         \
    "smlad r7, r9, r11, r7\n\t"
#define STEP_BYTES 44u

#define FIRST_STEP                      \
    "ldrd r8, r9, [r12], #128\n\t"      \
    "ldrd r10, r11, [lr], #8\n\t"       \
    "smuad r0, r8, r10\n\t"             \
    "smuad r4, r9, r10\n\t"             \
    "smuad r1, r8, r11\n\t"             \
    "smuad r5, r9, r11\n\t"             \
    "ldrd r10, r11, [lr], #8\n\t"       \
    "smuad r2, r8, r10\n\t"             \
    "smuad r6, r9, r10\n\t"             \
    "smuad r3, r8, r11\n\t"             \
    "smuad r7, r9, r11\n\t"

/* A row of four places becomes m0 + m1 + m2 (a) and m1 - m2 - m3 (b). */
#define ROW(a, b, c, d, p0, p1, p2, p3, bias)   \
    "ldr " a ", [lr, #" p0 "]\n\t"              \
    "ldr " b ", [lr, #" p1 "]\n\t"              \
    "ldr " c ", [lr, #" p2 "]\n\t"              \
    "ldr " d ", [lr, #" p3 "]\n\t"              \
    bias                                        \
    "add " a ", " a ", " b "\n\t"               \
    "sub " b ", " b ", " c "\n\t"               \
    "add " a ", " a ", " c "\n\t"               \
    "sub " b ", " b ", " d "\n\t"

/* `acc` is four times the accumulator. The rounding term gets its sign, which makes the shift round half away from zero. */
#define OUT(acc, address)                       \
    "asr " acc ", " acc ", #1\n\t"              \
    "add r4, r9, " acc ", asr #31\n\t"          \
    "smmlar " acc ", " acc ", r8, r4\n\t"       \
    "asr " acc ", " acc ", r10\n\t"             \
    "ssat " acc ", #8, " acc "\n\t"             \
    "strb " acc ", " address "\n\t"

/* One channel of a tile. Where the image ends, outputs beyond it go to the place of one inside, which is written after them. */
#define TILE(output, next, row_0, row_1, row_2, row_3)  \
    "ldr r12, [sp, #" output "]\n\t"                    \
    row_0                                               \
    row_1                                               \
    "add r0, r0, r2\n\t"                                \
    "add r1, r1, r3\n\t"                                \
    row_2                                               \
    "add r0, r0, r4\n\t"                                \
    "add r1, r1, r5\n\t"                                \
    "sub r2, r2, r4\n\t"                                \
    "sub r3, r3, r5\n\t"                                \
    row_3                                               \
    "sub r2, r2, r4\n\t"                                \
    "sub r3, r3, r5\n\t"                                \
    "ldrd r5, r6, [sp, #" next "]\n\t"                  \
    "add r7, r5, r6\n\t"                                \
    OUT("r3", "[r12, r7]")                              \
    OUT("r2", "[r12, r6]")                              \
    OUT("r1", "[r12, r5]")                              \
    OUT("r0", "[r12], #1")                              \
    "str r12, [sp, #" output "]\n\t"

#define BIAS "add r3, r3, r11\n\t"

/* All output channels of two tiles. */
static TINYC_DSP_ASSEMBLY void products(const frame *f __attribute__((unused))) {
    __asm volatile(
        "push {r4-r11, lr}\n\t"
        "add r0, r0, #72\n\t"
        "ldmdb r0!, {r1-r8}\n\t"
        "push {r1-r8}\n\t"
        "ldmdb r0!, {r1-r8}\n\t"
        "push {r1-r8}\n\t"
        "ldmdb r0!, {r1-r2}\n\t"
        "push {r1-r2}\n\t"
        "ldr lr, [sp, #56]\n\t"
        "adr r8, 3f\n\t"
        "ldr r0, [sp, #8]\n\t"
        "add r0, r0, r8\n\t"
        "adds r0, r0, #1\n\t"
        "str r0, [sp, #8]\n"
        "1:\n\t" /* four channels */
        "ldrd r12, r9, [sp, #48]\n\t"
        "ldr r8, [sp, #60]\n\t"
        "strd r8, r9, [sp]\n"
        "2:\n\t" /* a place */
        FIRST_STEP
        "ldr pc, [sp, #8]\n\t"
        ".p2align 2\n"
        "3:\n\t"
        STEP STEP STEP STEP STEP STEP STEP STEP
        "ldrd r8, r9, [sp]\n\t"
        "cmp r12, r8\n\t"
        "bne.w 3b\n\t"
        "stm r9!, {r0-r7}\n\t"
        "add r8, r8, #8\n\t"
        "strd r8, r9, [sp]\n\t"
        "ldrd r8, r10, [sp, #12]\n\t"
        "sub r12, r12, r8\n\t"
        "cmp r9, r10\n\t"
        "bne.w 2b\n\t"
        "str lr, [sp, #56]\n\t"
        "ldr lr, [sp, #52]\n"
        "4:\n\t" /* outputs of a channel */
        "ldr r0, [sp, #56]\n\t"
        "ldm r0!, {r8-r11}\n\t"
        "str r0, [sp, #56]\n\t"
        TILE("24", "32",
             ROW("r0", "r1", "r4", "r5", "0", "32", "64", "96", ""),
             ROW("r2", "r3", "r4", "r5", "128", "160", "192", "224", BIAS),
             ROW("r4", "r5", "r6", "r7", "256", "288", "320", "352", ""),
             ROW("r4", "r5", "r6", "r7", "384", "416", "448", "480", ""))
        TILE("28", "40",
             ROW("r0", "r1", "r4", "r5", "16", "48", "80", "112", ""),
             ROW("r2", "r3", "r4", "r5", "144", "176", "208", "240", BIAS),
             ROW("r4", "r5", "r6", "r7", "272", "304", "336", "368", ""),
             ROW("r4", "r5", "r6", "r7", "400", "432", "464", "496", ""))
        "add lr, lr, #4\n\t"
        "ldr r0, [sp, #64]\n\t"
        "cmp lr, r0\n\t"
        "bne.w 4b\n\t"
        "ldr lr, [sp, #56]\n\t"
        "ldr r0, [sp, #20]\n\t"
        "cmp lr, r0\n\t"
        "bne.w 1b\n\t"
        "add sp, sp, #72\n\t"
        "pop {r4-r11, pc}\n\t");
}

TINYC_KERNEL void tinyc_conv_3x3_winograd_s8_dsp(const tinyc_conv_2d_dsp_params *params, const int8_t *input, const int32_t *stream,
                                                 int8_t *output, void *scratch) {
    const int32_t depth = params->input_depth;
    const int32_t channels = params->output_depth;
    const int32_t width = 2 * params->output_width - params->odd_width;
    const int32_t height = 2 * params->output_height - params->odd_height;
    int8_t *result = output;
    const int8_t *image = input;
    tinyc_patch_place at = {input, 0, 0, 4 * depth, 16 * depth};
    tile t;
    frame f;
    f.v = scratch;
    f.v_end = f.v + 16 * depth;
    f.m = (int32_t *)f.v_end;
    f.m_end = f.m + 128;
    f.m_first_end = f.m + 4;
    f.back = 64 * depth - 8;
    /* After the first step, depth / 2 - 1 are left, an odd number; the unrolled loop has 8. */
    f.skip = (uint32_t)(8 - ((depth / 2 - 1) & 7)) * STEP_BYTES;
    f.stream = stream;
    f.stream_end = stream + channels / 4 * (32 * depth + 16);
    t.depth = depth;
    for (int32_t left = params->batches * params->output_height * params->output_width; left > 0; left -= 2) {
        for (int32_t i = 0; i < 2; i++) {
            if (i == 0 || left > 1) {
                if (at.image != image) {
                    image = at.image;
                    result += height * width * channels;
                }
                f.output[i] = result + (at.y * width + at.x) * 2 * channels;
                f.next[i][0] = at.x + 1 == params->output_width && params->odd_width ? 0 : channels;
                f.next[i][1] = at.y + 1 == params->output_height && params->odd_height ? 0 : width * channels;
                t.source = tinyc_patch_next(params, &at, (int8_t *)f.m_end, &t.pitch);
                t.v = f.v + i;
                t.v_end = f.v_end + i;
                transform(&t);
            } else {
                /* A last single tile is computed twice, to the same place. */
                for (int32_t word = 0; word < 16 * depth; word += 2) {
                    f.v[word + 1] = f.v[word];
                }
                f.output[1] = f.output[0];
                f.next[1][0] = f.next[0][0];
                f.next[1][1] = f.next[0][1];
            }
        }
        products(&f);
    }
    tinyc_dsp_clamp(output, params->batches * height * width * channels, params->activation_min, params->activation_max);
}
