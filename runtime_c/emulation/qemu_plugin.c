/* SPDX-License-Identifier: Apache-2.0 */
/* QEMU TCG plugin: counts instructions per function and per layer while one function is active; profiles if asked to.
 *
 * Distributions ship QEMU without qemu-plugin.h, so the part of its interface that is used is declared here; it is the
 * same from API version 1 (QEMU 4.2) on. The version to claim comes from the build: QEMU 9 refuses version 1.
 * Reads tinyc_plugin.in and tinyc_plugin.code and writes tinyc_plugin.out, all in the working directory. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "tinyc_count.h"

#define EXPORT __attribute__((visibility("default")))
#define LAYER_CAPACITY 4096U
#define ROW_CAPACITY 131072U

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info_t;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
                                           void (*callback)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, void (*callback)(unsigned int cpu, void *user),
                                          enum qemu_plugin_cb_flags flags, void *user);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, void (*callback)(qemu_plugin_id_t id, void *user), void *user);

EXPORT extern int qemu_plugin_version;
EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t *info, int argc, char **argv);

int qemu_plugin_version = TINYC_PLUGIN_VERSION;

typedef struct {
  uint32_t address;
  uint32_t last; /* address of the last instruction */
  uint32_t end;
  uint32_t count;
  uint32_t function;
} block;

static tinyc_counter counter;

/* How instruction lengths are known. Translating Thumb for Cortex-M, QEMU looks ahead over the edge of a page and makes
 * what it saw part of the last instruction that it reports, so the code itself is asked. */
enum { RISCV, THUMB, XTENSA };
static uint32_t encoding;
static uint8_t *code; /* counter.code_size bytes */

/* Xtensa: an instruction that needs a register window which is still in use is interrupted while QEMU saves the window,
 * and executed again. It is then the last of one block and the first of the next. */
static uint32_t previous_last;

static void on_block(unsigned int cpu, void *user) {
  const block *executed = (const block *)user;
  (void)cpu;
  if ((encoding == XTENSA) && (executed->address == previous_last)) {
    tinyc_take_back(&counter);
  }
  previous_last = executed->last;
  (void)tinyc_count_block(&counter, executed->function, executed->address, executed->end, executed->count);
}

static uint32_t instruction_size(const struct qemu_plugin_insn *instruction, uint32_t address) {
  const uint32_t offset = address - counter.code_start;
  const int is_known = (encoding != XTENSA) && (offset < counter.code_size) && ((counter.code_size - offset) >= 2U);
  return is_known ? tinyc_instruction_size(&code[offset], encoding == THUMB)
                  : (uint32_t)qemu_plugin_insn_size(instruction);
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
  block *made = (block *)malloc(sizeof(block));
  (void)id;
  if (made == NULL) {
    abort();
  }
  made->count = (uint32_t)qemu_plugin_tb_n_insns(tb);
  made->address = (uint32_t)qemu_plugin_tb_vaddr(tb);
  made->function = tinyc_find_function(&counter, made->address);
  made->end = made->address;
  made->last = made->address;
  for (size_t index = 0U; index < made->count; ++index) {
    made->last = made->end;
    made->end += instruction_size(qemu_plugin_tb_get_insn(tb, index), made->end);
  }
  qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, QEMU_PLUGIN_CB_NO_REGS, made);
}

static void on_exit(qemu_plugin_id_t id, void *user) {
  FILE *file = fopen("tinyc_plugin.out", "w");
  (void)id;
  (void)user;
  if (file == NULL) {
    return;
  }
  fprintf(file, "total %llu %llu %u %u\n", (unsigned long long)counter.instructions, (unsigned long long)counter.calls,
          counter.inside, counter.layer_count);
  for (uint32_t index = 0U; (index < counter.layer_count) && (index < LAYER_CAPACITY); ++index) {
    fprintf(file, "layer %llu\n", (unsigned long long)counter.layers[index]);
  }
  for (uint32_t index = 0U; index < counter.function_count; ++index) {
    fprintf(file, "function %u %llu\n", index, (unsigned long long)counter.functions[index].instructions);
  }
  for (uint32_t index = 0U; (index < counter.row_count) && (index < counter.row_capacity); ++index) {
    const tinyc_row *row = &counter.rows[index];
    fprintf(file, "edges %u %u %llu %llu %llu %llu\n", row->layer, row->address,
            (unsigned long long)row->edges.started, (unsigned long long)row->edges.ended,
            (unsigned long long)row->edges.left, (unsigned long long)row->edges.entered);
  }
  fprintf(file, "rows %u\n", counter.row_count);
  fclose(file);
}

static int allocate_profile(void) {
  counter.row_capacity = ROW_CAPACITY;
  counter.rows = (tinyc_row *)calloc(ROW_CAPACITY, sizeof(tinyc_row));
  counter.edges = (tinyc_edges *)calloc((counter.code_size / 2U) + 1U, sizeof(tinyc_edges));
  return (counter.rows != NULL) && (counter.edges != NULL);
}

static int read_code(void) {
  FILE *file = fopen("tinyc_plugin.code", "rb");
  size_t count = 0U;
  code = (uint8_t *)malloc(counter.code_size + 1U);
  if ((file != NULL) && (code != NULL)) {
    count = fread(code, 1U, counter.code_size, file);
  }
  if (file != NULL) {
    fclose(file);
  }
  return count == counter.code_size;
}

static int read_functions(void) {
  uint32_t profile = 0U;
  FILE *file = fopen("tinyc_plugin.in", "r");
  int complete = (file != NULL) &&
                 (fscanf(file, "%u %u %u %u %u %u", &encoding, &profile, &counter.code_start, &counter.code_size,
                         &counter.watched, &counter.function_count) == 6) &&
                 read_code();
  if (complete && (profile != 0U)) {
    complete = allocate_profile();
  }
  if (complete) {
    counter.functions = (tinyc_function *)calloc(counter.function_count, sizeof(tinyc_function));
    complete = counter.functions != NULL;
  }
  for (uint32_t index = 0U; complete && (index < counter.function_count); ++index) {
    tinyc_function *function = &counter.functions[index];
    complete = fscanf(file, "%u %u %u", &function->start, &function->end, &function->marked) == 3;
  }
  if (file != NULL) {
    fclose(file);
  }
  return complete;
}

int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t *info, int argc, char **argv) {
  (void)info;
  (void)argc;
  (void)argv;
  counter.layers = (uint64_t *)calloc(LAYER_CAPACITY, sizeof(uint64_t));
  counter.layer_capacity = LAYER_CAPACITY;
  counter.previous = TINYC_NO_FUNCTION;
  if ((counter.layers == NULL) || !read_functions()) {
    fprintf(stderr, "tinyc: the counting plugin cannot read tinyc_plugin.in\n");
    return 1;
  }
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
  qemu_plugin_register_atexit_cb(id, on_exit, NULL);
  return 0;
}
