/* SPDX-License-Identifier: Apache-2.0 */
/* Block hook for unicorn: counts instructions and measures the stack in C, about as fast as unicorn without a hook.
 *
 * compiler/emulators/unicorn.py builds it, mirrors the structs with ctypes, and passes it to uc_hook_add. No unicorn
 * headers are needed: the only function it calls arrives as a pointer. */
#include <stddef.h>

#include "tinyc_count.h"

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

#define PAINT 0xA5C3965AU

/* Bytes below the stack pointer that are watched: far more than any kernel uses, and quick to paint for each call. */
#define STACK_WINDOW 0x40000U

typedef struct {
  uint32_t size; /* bytes of the block; 0: not seen yet */
  uint32_t count;
  uint32_t function;
} tinyc_block;

typedef struct {
  tinyc_counter counter;
  const uint8_t *code; /* host copy of the executable section */
  tinyc_block *blocks; /* one for every second byte of it */
  uint8_t *stack;      /* host memory behind the stack, which the emulated RAM is mapped to */
  int (*read_register)(void *engine, int number, void *value);
  uint64_t foreign; /* result: blocks outside of the executable section */
  uint32_t code_start;
  uint32_t code_size;
  uint32_t stack_start; /* lowest address the stack may use */
  uint32_t stack_size;
  uint32_t stack_register; /* unicorn's number of the stack pointer */
  uint32_t is_thumb;       /* how instruction lengths are decoded: Thumb-2, or RISC-V with C */
  uint32_t entry_stack;    /* stack pointer when the watched function was entered */
  uint32_t stack_used;     /* result: the most bytes below entry_stack that a call wrote to */
} tinyc_hook;

EXPORT extern const uint32_t tinyc_hook_size;
EXPORT void tinyc_hook_block(void *engine, uint64_t address, uint32_t size, void *user);

const uint32_t tinyc_hook_size = (uint32_t)sizeof(tinyc_hook);

static uint32_t count_instructions(const tinyc_hook *hook, uint32_t offset, uint32_t size) {
  uint32_t count = 0U;
  uint32_t at = 0U;
  while (at < size) {
    at += tinyc_instruction_size(&hook->code[offset + at], hook->is_thumb != 0U);
    ++count;
  }
  return count;
}

static uint32_t *stack_word(const tinyc_hook *hook, uint32_t address) {
  return (uint32_t *)(void *)&hook->stack[(address - hook->stack_start) & ~(uint32_t)3U];
}

static uint32_t *window_start(const tinyc_hook *hook) {
  const uint32_t room = hook->entry_stack - hook->stack_start;
  return stack_word(hook, hook->entry_stack - ((room < STACK_WINDOW) ? room : STACK_WINDOW));
}

static void paint_stack(tinyc_hook *hook, void *engine) {
  uint32_t pointer = 0U;
  (void)hook->read_register(engine, (int)hook->stack_register, &pointer);
  if ((pointer < hook->stack_start) || (pointer > (hook->stack_start + hook->stack_size))) {
    pointer = hook->stack_start;
  }
  hook->entry_stack = pointer;
  for (uint32_t *word = window_start(hook); word < stack_word(hook, pointer); ++word) {
    *word = PAINT;
  }
}

static void measure_stack(tinyc_hook *hook) {
  const uint32_t *const end = stack_word(hook, hook->entry_stack);
  const uint32_t *word = window_start(hook);
  while ((word < end) && (*word == PAINT)) {
    ++word;
  }
  const uint32_t used = (uint32_t)(end - word) * 4U;
  hook->stack_used = (used > hook->stack_used) ? used : hook->stack_used;
}

void tinyc_hook_block(void *engine, uint64_t address, uint32_t size, void *user) {
  tinyc_hook *hook = (tinyc_hook *)user;
  const uint32_t offset = (uint32_t)address - hook->code_start;
  if ((offset >= hook->code_size) || (size > (hook->code_size - offset))) {
    ++hook->foreign;
    return;
  }
  tinyc_block *block = &hook->blocks[offset / 2U];
  if (block->size != size) {
    block->size = size;
    block->count = count_instructions(hook, offset, size);
    block->function = tinyc_find_function(&hook->counter, (uint32_t)address);
  }
  const int event = tinyc_count_block(&hook->counter, block->function, (uint32_t)address, (uint32_t)address + size,
                                      block->count);
  if (event == TINYC_ENTERS) {
    paint_stack(hook, engine);
  } else if (event == TINYC_LEAVES) {
    measure_stack(hook);
  }
}
