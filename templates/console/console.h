/* SPDX-License-Identifier: Apache-2.0 */
/* A model on a serial line: a self-test at boot, then one text line in, one text line out.
 *
 *   you send            it answers
 *   ?                   S <name> <input bytes,...> <output bytes,...>
 *   T                   the self-test again
 *   M <number>          S ...                         the other commands are for this model from now on; 0 is the first
 *   I <hex>             O <hex> <microseconds>        one inference
 *   I <hex> *<crc>      O <hex> <microseconds> *<crc> the same, guarded against a noisy line
 *   anything else       E <reason>
 *
 * <hex> is all inputs (outputs), one after the other, two hex digits per byte, in memory order. <crc> is CRC-16/CCITT-FALSE
 * of those bytes, four hex digits. A line ends with CR or LF; empty lines are ignored. A line that is broken in any way is
 * answered with E and runs nothing; after noise send an empty line and try again. Wait for the answer before the next line:
 * boards have small receive buffers. Lines that start with # are comments.
 *
 * There is no line buffer: hex digits go straight into the model's input, whatever its size. */
#ifndef TINYC_CONSOLE_H
#define TINYC_CONSOLE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  void *data;
  size_t size; /* bytes */
  int real;    /* holds float */
} console_buffer;

typedef struct console_model {
  const char *name;               /* C prefix of the model */
  const char *version;            /* of tinyc */
  const console_buffer *inputs;   /* input_count buffers, >= 1 */
  size_t input_count;
  const console_buffer *outputs;  /* output_count buffers, >= 1 */
  size_t output_count;
  const uint8_t *const *vector_inputs;  /* vector_count arrays: all input bytes of one reference inference, or NULL: made from */
  const uint32_t *vector_seeds;         /* this seed: x = x * 1664525 + 1013904223, byte = x >> 24; a float is (int8_t)byte / 32 */
  const uint8_t *const *vector_outputs; /* and the output bytes it must give */
  size_t vector_count;
  const char *const *labels;      /* label_count names of the elements of output 0; NULL without labels */
  size_t label_count;             /* then output 0 is int8 or uint8 with as many elements */
  int output_is_signed;           /* output 0 holds int8 */
  void (*run)(void);              /* one inference: reads the inputs, writes the outputs */
  const struct console_model *next; /* another model of this firmware, or NULL; they may use the same memory */
} console_model;

/* Prints the greeting, runs the self-test, prints the first reference output, for each model of the list. Several models have two
 * rounds, so that each runs after every other. Returns how many vectors failed. */
size_t console_begin(const console_model *model);

/* Takes one received byte; answers when it ends a line. */
void console_receive(uint8_t byte);

/* The platform supplies these two. Microseconds may wrap around; 0 if there is no clock. */
void console_write(const char *text, size_t length);
uint32_t console_micros(void);

#ifdef __cplusplus
}
#endif

#endif /* TINYC_CONSOLE_H */
