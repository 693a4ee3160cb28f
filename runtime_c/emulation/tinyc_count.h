/* SPDX-License-Identifier: Apache-2.0 */
/* Counting the instructions of one function and everything it calls, from a stream of executed basic blocks.
 *
 * The unicorn hook and the QEMU plugin feed the same automaton, so their numbers agree by construction. It only needs
 * the address and length of each block: the return address of the watched function is the end of the block before its
 * first instruction, which is right for a call and wrong for a tail call. A watched function that never comes back is
 * therefore visible at the end as inside == 1. */
#ifndef TINYC_COUNT_H
#define TINYC_COUNT_H

#include <stddef.h>
#include <stdint.h>

#define TINYC_NO_FUNCTION UINT32_MAX

typedef struct {
  uint32_t start;        /* address of the first instruction, without the Thumb bit */
  uint32_t end;          /* address after the last byte */
  uint32_t marked;       /* 1: a call of it begins a layer */
  uint32_t unused;       /* keeps the next field aligned in every ABI */
  uint64_t instructions; /* result: executed in it while the watched function was active */
} tinyc_function;

/* What happened at one address. Between two addresses the number of executions is the sum of `started` up to the first,
 * less the sum of `ended`: that holds however the emulator cuts the code into blocks. */
typedef struct {
  uint64_t started; /* blocks that begin here */
  uint64_t ended;   /* blocks whose last byte is before this */
  uint64_t left;    /* of these, those that did not go on here: a branch was taken */
  uint64_t entered; /* of those that begin here, those that were not reached from the instruction before */
} tinyc_edges;

typedef struct {
  tinyc_edges edges;
  uint32_t layer;
  uint32_t address;
} tinyc_row;

typedef struct {
  tinyc_function *functions; /* sorted by start, without overlap */
  uint64_t *layers;          /* result: instructions from one marked call to the next, first watched call only */
  tinyc_edges *edges;        /* one for every second byte of the code, and one more; NULL: no profile is wanted */
  tinyc_row *rows;           /* result: the edges that are not zero, layer by layer, first watched call only */
  uint64_t instructions;     /* result: all blocks while the watched function was active */
  uint64_t calls;            /* result: calls of the watched function */
  uint64_t layer_base;
  uint32_t function_count;
  uint32_t layer_capacity;
  uint32_t layer_count; /* result: marked calls; may exceed the capacity, the surplus is not stored */
  uint32_t watched;     /* index of the watched function */
  uint32_t inside;      /* 1 while the watched function is active */
  uint32_t return_address;
  uint32_t previous;     /* function and end address of the block before */
  uint32_t previous_end;
  uint32_t code_start; /* the code that edges[] is for */
  uint32_t code_size;
  uint32_t row_capacity;
  uint32_t row_count; /* result: may exceed the capacity, the surplus is not stored */
} tinyc_counter;

/* Index of the function that contains `address`, or TINYC_NO_FUNCTION. */
static inline uint32_t tinyc_find_function(const tinyc_counter *counter, uint32_t address) {
  uint32_t low = 0U;
  uint32_t high = counter->function_count;
  while (low < high) {
    const uint32_t middle = low + ((high - low) / 2U);
    if (counter->functions[middle].end <= address) {
      low = middle + 1U;
    } else {
      high = middle;
    }
  }
  const int found = (low < counter->function_count) && (counter->functions[low].start <= address);
  return found ? low : TINYC_NO_FUNCTION;
}

/* Bytes of the instruction at `code`: Thumb-2, or RISC-V with C. */
static inline uint32_t tinyc_instruction_size(const uint8_t *code, int is_thumb) {
  const int is_wide = is_thumb ? (code[1] >= 0xE8U) : ((code[0] & 3U) == 3U);
  return is_wide ? 4U : 2U;
}

static inline tinyc_edges *tinyc_edges_at(const tinyc_counter *counter, uint32_t address) {
  return &counter->edges[(address - counter->code_start) / 2U];
}

/* 1 while a profile is wanted: within the first call of the watched function. */
static inline int tinyc_is_profiling(const tinyc_counter *counter) {
  return (counter->edges != NULL) && (counter->inside != 0U) && (counter->calls == 1U);
}

/* Moves the edges to the rows of the layer that ends here. */
static inline void tinyc_close_profile(tinyc_counter *counter) {
  const tinyc_edges nothing = {0U, 0U, 0U, 0U};
  for (uint32_t offset = 0U; offset <= counter->code_size; offset += 2U) {
    tinyc_edges *edges = tinyc_edges_at(counter, counter->code_start + offset);
    if ((edges->started != 0U) || (edges->ended != 0U)) {
      if (counter->row_count < counter->row_capacity) {
        tinyc_row *row = &counter->rows[counter->row_count];
        row->edges = *edges;
        row->layer = (counter->layer_count != 0U) ? (counter->layer_count - 1U) : 0U;
        row->address = counter->code_start + offset;
      }
      ++counter->row_count;
      *edges = nothing;
    }
  }
}

static inline void tinyc_profile_block(tinyc_counter *counter, uint32_t address, uint32_t end, uint32_t previous_end) {
  const uint32_t offset = address - counter->code_start;
  if ((offset >= counter->code_size) || ((end - address) > (counter->code_size - offset))) {
    counter->edges = NULL; /* code without a place in edges[]: the profile is lost */
    counter->row_count = UINT32_MAX;
    return;
  }
  ++tinyc_edges_at(counter, address)->started;
  ++tinyc_edges_at(counter, end)->ended;
  if (address != previous_end) {
    ++tinyc_edges_at(counter, address)->entered;
  }
}

static inline void tinyc_close_layer(tinyc_counter *counter) {
  const uint32_t open = counter->layer_count - 1U;
  if ((counter->layer_count != 0U) && (open < counter->layer_capacity)) {
    counter->layers[open] = counter->instructions - counter->layer_base;
  }
}

static inline void tinyc_begin_layer(tinyc_counter *counter) {
  if (counter->layer_count != 0U) {
    tinyc_close_layer(counter);
    if (tinyc_is_profiling(counter)) {
      tinyc_close_profile(counter);
    }
    counter->layer_base = counter->instructions;
  }
  ++counter->layer_count;
}

/* What a block did to the watched function. */
enum { TINYC_STAYS, TINYC_ENTERS, TINYC_LEAVES };

/* Counts one executed block of `count` instructions in [address, end). A loop back to a function's first instruction is
 * no call of it: a call comes from another function. */
static inline int tinyc_count_block(tinyc_counter *counter, uint32_t function, uint32_t address, uint32_t end,
                                    uint32_t count) {
  const int called = (function != TINYC_NO_FUNCTION) && (function != counter->previous) &&
                     (address == counter->functions[function].start);
  const uint32_t caller_end = counter->previous_end; /* profiled, or profiling would have stopped */
  int event = TINYC_STAYS;
  counter->previous = function;
  counter->previous_end = end;
  if (tinyc_is_profiling(counter) && (address != caller_end)) {
    ++tinyc_edges_at(counter, caller_end)->left;
  }
  if ((counter->inside != 0U) && (address == counter->return_address)) {
    if (counter->calls == 1U) {
      tinyc_close_layer(counter);
    }
    if (tinyc_is_profiling(counter)) {
      tinyc_close_profile(counter);
    }
    counter->inside = 0U;
    event = TINYC_LEAVES;
  }
  if ((counter->inside == 0U) && called && (function == counter->watched)) {
    counter->inside = 1U;
    counter->return_address = caller_end;
    ++counter->calls;
    event = TINYC_ENTERS;
  }
  if (counter->inside != 0U) {
    if (called && (counter->functions[function].marked != 0U) && (counter->calls == 1U)) {
      tinyc_begin_layer(counter);
    }
    counter->instructions += count;
    if (function != TINYC_NO_FUNCTION) {
      counter->functions[function].instructions += count;
    }
    if (tinyc_is_profiling(counter)) {
      tinyc_profile_block(counter, address, end, caller_end);
    }
  }
  return event;
}

/* Takes back one instruction of the block before: an exception interrupted it and it is about to be executed again. */
static inline void tinyc_take_back(tinyc_counter *counter) {
  if (counter->inside != 0U) {
    --counter->instructions;
    if (counter->previous != TINYC_NO_FUNCTION) {
      --counter->functions[counter->previous].instructions;
    }
  }
}

#endif
