/* SPDX-License-Identifier: Apache-2.0 */
#include "console.h"

#define CRC_START 0xFFFFu

/* Where the next input byte goes, and what was wrong with the line so far. */
typedef struct {
  char command;       /* first character of the line, 0 while the line is empty */
  const char *error;  /* NULL while the line is good */
  size_t nibbles;     /* hex digits of <hex> so far */
  size_t buffer;      /* index of the input buffer being filled */
  size_t offset;      /* bytes in it */
  uint8_t high;       /* the digit that waits for its second half */
  uint8_t in_crc;     /* a * was seen */
  uint8_t crc_digits;
  uint16_t crc;       /* of the bytes received */
  uint16_t claimed;   /* what the line says it is */
  size_t wanted;      /* number of a model */
  uint8_t has_wanted;
} console_line;

static const console_model *first_model;
static const console_model *the_model; /* that the commands are for */
static console_line line;

static void put(const char *text) {
  size_t length = 0;
  while (text[length] != '\0') {
    length++;
  }
  console_write(text, length);
}

static void put_number(uint32_t value) {
  char digits[10];
  size_t start = sizeof digits;
  do {
    digits[--start] = (char)('0' + (int)(value % 10u));
    value /= 10u;
  } while (value != 0u);
  console_write(digits + start, sizeof digits - start);
}

static char hex_digit(unsigned value) { return "0123456789abcdef"[value & 15u]; }

static void put_hex(const uint8_t *bytes, size_t count) {
  char text[64];
  size_t used = 0;
  for (size_t i = 0; i < count; i++) {
    text[used++] = hex_digit((unsigned)bytes[i] >> 4);
    text[used++] = hex_digit(bytes[i]);
    if (used == sizeof text) {
      console_write(text, used);
      used = 0;
    }
  }
  if (used != 0u) {
    console_write(text, used);
  }
}

static uint16_t crc_update(uint16_t crc, uint8_t byte) {
  unsigned value = crc ^ ((unsigned)byte << 8);
  for (int bit = 0; bit < 8; bit++) {
    value = (value & 0x8000u) != 0u ? (value << 1) ^ 0x1021u : value << 1;
  }
  return (uint16_t)value;
}

static void put_crc(uint16_t crc) {
  const uint8_t bytes[2] = {(uint8_t)(crc >> 8), (uint8_t)crc};
  put(" *");
  put_hex(bytes, 2);
}

static size_t total(const console_buffer *buffers, size_t count) {
  size_t bytes = 0;
  for (size_t i = 0; i < count; i++) {
    bytes += buffers[i].size;
  }
  return bytes;
}

static void put_sizes(const console_buffer *buffers, size_t count) {
  for (size_t i = 0; i < count; i++) {
    put(i == 0u ? " " : ",");
    put_number((uint32_t)buffers[i].size);
  }
}

static uint32_t timed_run(void) {
  const uint32_t start = console_micros();
  the_model->run();
  return console_micros() - start;
}

static void put_output(uint32_t micros, int with_crc) {
  uint16_t crc = CRC_START;
  put("O ");
  for (size_t i = 0; i < the_model->output_count; i++) {
    const uint8_t *bytes = the_model->outputs[i].data;
    put_hex(bytes, the_model->outputs[i].size);
    for (size_t j = 0; j < the_model->outputs[i].size; j++) {
      crc = crc_update(crc, bytes[j]);
    }
  }
  put(" ");
  put_number(micros);
  if (with_crc) {
    put_crc(crc);
  }
  put("\n");
}

static void put_best_label(void) {
  const uint8_t *bytes = the_model->outputs[0].data;
  size_t best = 0;
  int best_value = -1000;
  for (size_t i = 0; i < the_model->label_count; i++) {
    const int value = the_model->output_is_signed ? (int)(int8_t)bytes[i] : (int)bytes[i];
    if (value > best_value) {
      best = i;
      best_value = value;
    }
  }
  put("# best label: ");
  put(the_model->labels[best]);
  put("\n");
}

static void load_inputs(const uint8_t *source) {
  for (size_t i = 0; i < the_model->input_count; i++) {
    uint8_t *target = the_model->inputs[i].data;
    for (size_t j = 0; j < the_model->inputs[i].size; j++) {
      target[j] = *source++;
    }
  }
}

static uint8_t next_byte(uint32_t *state) {
  *state = *state * 1664525u + 1013904223u;
  return (uint8_t)(*state >> 24);
}

/* The bits of the float value / 32, by integers: not every toolchain that links this has floating point. */
static uint32_t thirty_seconds(int8_t value) {
  uint32_t magnitude = (uint32_t)(value < 0 ? -value : value);
  uint32_t exponent = 129;
  if (magnitude == 0u) {
    return 0;
  }
  while (magnitude < 128u) {
    magnitude <<= 1;
    exponent--;
  }
  return (value < 0 ? 0x80000000u : 0u) | exponent << 23 | (magnitude & 127u) << 16;
}

static void generate_inputs(uint32_t state) {
  for (size_t i = 0; i < the_model->input_count; i++) {
    const console_buffer *input = &the_model->inputs[i];
    uint8_t *bytes = input->data;
    if (input->real) {
      for (size_t j = 0; j + 4u <= input->size; j += 4u) {
        const uint32_t bits = thirty_seconds((int8_t)next_byte(&state));
        for (size_t k = 0; k < 4u; k++) {
          bytes[j + k] = (uint8_t)(bits >> (8u * k));
        }
      }
    } else {
      for (size_t j = 0; j < input->size; j++) {
        bytes[j] = next_byte(&state);
      }
    }
  }
}

/* Index of the first output byte that differs from `expected`, or the number of output bytes. */
static size_t first_difference(const uint8_t *expected, uint8_t *found) {
  size_t index = 0;
  for (size_t i = 0; i < the_model->output_count; i++) {
    const uint8_t *bytes = the_model->outputs[i].data;
    for (size_t j = 0; j < the_model->outputs[i].size; j++, index++) {
      if (bytes[j] != expected[index]) {
        *found = bytes[j];
        return index;
      }
    }
  }
  return index;
}

static void put_failure(size_t vector, size_t index, uint8_t expected, uint8_t found) {
  put(" FAIL vector ");
  put_number((uint32_t)vector);
  put(" output byte ");
  put_number((uint32_t)index);
  put(" expected ");
  put_hex(&expected, 1);
  put(" found ");
  put_hex(&found, 1);
  put("\n");
}

static size_t self_test(void) {
  const size_t bytes = total(the_model->outputs, the_model->output_count);
  size_t failures = 0;
  for (size_t i = 0; i < the_model->vector_count; i++) {
    uint8_t found = 0;
    if (the_model->vector_inputs[i] != NULL) {
      load_inputs(the_model->vector_inputs[i]);
    } else {
      generate_inputs(the_model->vector_seeds[i]);
    }
    const uint32_t micros = timed_run();
    const size_t index = first_difference(the_model->vector_outputs[i], &found);
    if (i == 0u) {
      put_output(micros, 0);
      if (the_model->label_count != 0u) {
        put_best_label();
      }
    }
    if (index != bytes) {
      put("tinyc ");
      put(the_model->name);
      put(" self-test:");
      put_failure(i, index, the_model->vector_outputs[i][index], found);
      failures++;
    }
  }
  if (the_model->vector_count == 0u) {
    put("# no reference vectors: nothing was tested\n");
  } else if (failures == 0u) {
    put("tinyc ");
    put(the_model->name);
    put(" self-test: PASS\n");
  }
  return failures;
}

/* Of every model, and again when there are several: they may use the same memory. */
static size_t test_all(void) {
  const console_model *selected = the_model;
  size_t failures = 0;
  for (unsigned rounds = first_model->next != NULL ? 2u : 1u; rounds != 0u; rounds--) {
    for (the_model = first_model; the_model != NULL; the_model = the_model->next) {
      failures += self_test();
    }
  }
  the_model = selected;
  return failures;
}

size_t console_begin(const console_model *model) {
  first_model = model;
  the_model = model;
  line = (console_line){.crc = CRC_START};
  for (const console_model *each = model; each != NULL; each = each->next) {
    put("# tinyc ");
    put(each->version);
    put(" model ");
    put(each->name);
    put("\n");
  }
  const size_t failures = test_all();
  put("# ready: ? for sizes, I <hex> for an inference, T for the self-test");
  put(model->next != NULL ? ", M <number> for another model\n" : "\n");
  return failures;
}

static void answer_input(void) {
  const size_t expected = total(the_model->inputs, the_model->input_count);
  if (line.nibbles != 2u * expected) {
    put("E expected ");
    put_number((uint32_t)expected);
    put(" input bytes, got ");
    put_number((uint32_t)(line.nibbles / 2u));
    put((line.nibbles & 1u) != 0u ? " and a half\n" : "\n");
    return;
  }
  if (line.in_crc && (line.crc_digits != 4u || line.claimed != line.crc)) {
    put("E checksum\n");
    return;
  }
  put_output(timed_run(), line.in_crc);
}

static void answer_query(void) {
  put("S ");
  put(the_model->name);
  put_sizes(the_model->inputs, the_model->input_count);
  put_sizes(the_model->outputs, the_model->output_count);
  put("\n");
}

/* Model `wanted` is the one that the commands are for from now on. */
static void answer_selection(void) {
  const console_model *model = first_model;
  for (size_t i = 0; i < line.wanted && model != NULL; i++) {
    model = model->next;
  }
  if (model == NULL || !line.has_wanted) {
    put("E no such model\n");
    return;
  }
  the_model = model;
  answer_query();
}

static void answer(void) {
  if (line.error != NULL) {
    put("E ");
    put(line.error);
    put("\n");
  } else if (line.command == 'I') {
    answer_input();
  } else if (line.command == '?') {
    answer_query();
  } else if (line.command == 'T') {
    (void)test_all();
  } else if (line.command == 'M') {
    answer_selection();
  }
}

/* 0..15, or 16 for anything that is not a hex digit. */
static uint8_t hex_value(uint8_t byte) {
  if (byte >= '0' && byte <= '9') {
    return (uint8_t)(byte - '0');
  }
  const uint8_t lower = (uint8_t)(byte | 0x20u);
  return lower >= 'a' && lower <= 'f' ? (uint8_t)(lower - 'a' + 10) : 16u;
}

/* More bytes than the inputs hold are counted but not stored: the count is the error. */
static void store(uint8_t byte) {
  while (line.buffer < the_model->input_count && line.offset == the_model->inputs[line.buffer].size) {
    line.buffer++;
    line.offset = 0;
  }
  if (line.buffer < the_model->input_count) {
    ((uint8_t *)the_model->inputs[line.buffer].data)[line.offset++] = byte;
  }
  line.crc = crc_update(line.crc, byte);
}

static void receive_digit(uint8_t value) {
  if (line.in_crc) {
    line.claimed = (uint16_t)(((unsigned)line.claimed << 4) | value);
    line.crc_digits = (uint8_t)(line.crc_digits < 5u ? line.crc_digits + 1u : 5u);
    return;
  }
  line.nibbles++;
  if ((line.nibbles & 1u) != 0u) {
    line.high = value;
  } else {
    store((uint8_t)((unsigned)line.high << 4 | value));
  }
}

static void receive_argument(uint8_t byte) {
  const uint8_t value = hex_value(byte);
  if (line.command == 'M' && value < 10u) {
    line.wanted = line.wanted < 1000u ? line.wanted * 10u + value : line.wanted;
    line.has_wanted = 1;
  } else if (line.command != 'I') {
    line.error = "unknown command";
  } else if (byte == '*' && !line.in_crc) {
    line.in_crc = 1;
  } else if (value < 16u) {
    receive_digit(value);
  } else {
    line.error = "not a hex digit";
  }
}

void console_receive(uint8_t byte) {
  if (byte == '\r' || byte == '\n') {
    if (line.command != '\0') {
      answer();
    }
    line = (console_line){.crc = CRC_START};
  } else if (byte == ' ' || line.error != NULL || line.command == '#') {
    return;
  } else if (line.command != '\0') {
    receive_argument(byte);
  } else if (byte != 0u) { /* a UART that wakes up often sends a NUL */
    line.command = (char)byte;
    if (byte != 'I' && byte != '?' && byte != 'T' && byte != 'M' && byte != '#') {
      line.error = "unknown command";
    }
  }
}
