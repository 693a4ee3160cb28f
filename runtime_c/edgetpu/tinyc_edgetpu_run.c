/* SPDX-License-Identifier: Apache-2.0 */
/* Protocol: google-coral/libedgetpu driver/usb/usb_ml_commands.cc and usb_driver.cc, in its mode of a single endpoint. There, no
 * transfer to the chip may begin while one from the chip is not over; here, every transfer is over before the next begins. */
#include "tinyc_edgetpu_control.h"

#define HEADER 8u
#define EVENT 16u
#define EVENT_TAG 12u

typedef struct {
    tinyc_edgetpu *tpu;
    const tinyc_edgetpu_program *program;
    const void *const *inputs;
    void *const *outputs;
    uint8_t *scratch;
} task;

/* Continues transfers that end early, as long as they move something. */
static int send(tinyc_edgetpu *tpu, const uint8_t *data, uint32_t size) {
    const tinyc_edgetpu_transport *usb = tpu->transport;

    while (size > 0u) {
        uint32_t moved = 0;
        int status = usb->bulk_out(usb->user, data, size, tpu->timeout_ms, &moved);

        status = tinyc_edgetpu_checked(status, moved, size);
        if ((status != TINYC_EDGETPU_OK) || (moved == 0u)) {
            return (status != TINYC_EDGETPU_OK) ? status : TINYC_EDGETPU_SHORT;
        }
        data += moved;
        size -= moved;
    }
    return TINYC_EDGETPU_OK;
}

static int receive(tinyc_edgetpu *tpu, uint8_t *data, uint32_t size) {
    const tinyc_edgetpu_transport *usb = tpu->transport;

    while (size > 0u) {
        uint32_t moved = 0;
        int status = usb->bulk_in(usb->user, data, size, tpu->timeout_ms, &moved);

        status = tinyc_edgetpu_checked(status, moved, size);
        if ((status != TINYC_EDGETPU_OK) || (moved == 0u)) {
            return (status != TINYC_EDGETPU_OK) ? status : TINYC_EDGETPU_SHORT;
        }
        data += moved;
        size -= moved;
    }
    return TINYC_EDGETPU_OK;
}

static int send_header(tinyc_edgetpu *tpu, uint32_t length, uint32_t tag) {
    uint8_t *const header = tpu->buffer;

    for (uint32_t i = 0; i < 4u; i++) {
        header[i] = (uint8_t)(length >> (8u * i));
        header[4u + i] = 0;
    }
    header[4] = (uint8_t)tag;
    return send(tpu, header, HEADER);
}

/* The part of an input that needs no change goes out as it is; signed elements and what is missing at the end go through the
 * driver's own memory. Parts before the last are a multiple of a packet. */
static int send_input(tinyc_edgetpu *tpu, const uint8_t *data, const uint32_t *input, uint32_t offset, uint32_t length) {
    const uint32_t size = input[0], element = input[1];
    const uint32_t have = (offset < size) ? (size - offset) : 0u;
    uint32_t done = 0;
    int status = TINYC_EDGETPU_OK;

    if (element == 0u) {
        done = (have >= length) ? length : (have - (have % TINYC_EDGETPU_BUFFER));
        status = send(tpu, &data[offset], done);
    }
    while ((done < length) && (status == TINYC_EDGETPU_OK)) {
        const uint32_t part = (length - done < TINYC_EDGETPU_BUFFER) ? (length - done) : TINYC_EDGETPU_BUFFER;

        for (uint32_t i = 0; i < part; i++) {
            const uint32_t at = offset + done + i;
            const uint32_t sign = ((element != 0u) && ((at % element) == (element - 1u))) ? 0x80u : 0u;
            tpu->buffer[i] = (uint8_t)((at < size) ? (data[at] ^ sign) : 0u);
        }
        status = send(tpu, tpu->buffer, part);
        done += part;
    }
    return status;
}

/* Copies the runs of an output into its tensor, if it is not there already, and corrects the signs. */
static void finish_output(const uint32_t *output, const uint32_t *run, const uint8_t *received, uint8_t *tensor) {
    const uint32_t size = output[1], element = output[2];
    uint8_t *to = tensor;

    for (uint32_t i = 0; i < output[4]; i++) {
        const uint32_t source = run[0], length = run[1], count = run[2], stride = run[3];

        for (uint32_t n = 0; n < count; n++) {
            const uint8_t *const piece = &received[source + (n * stride)];
            for (uint32_t k = 0; k < length; k++) {
                *to++ = piece[k];
            }
        }
        run += 4;
    }
    if (element != 0u) {
        for (uint32_t at = element - 1u; at < size; at += element) {
            tensor[at] ^= 0x80u;
        }
    }
}

static int receive_output(const task *job, uint32_t port, int last, uint32_t offset, uint32_t length) {
    const uint32_t *const output = &job->program->outputs[5u * port];
    const int kept = output[1] != 0u;
    uint8_t *const tensor = kept ? (uint8_t *)job->outputs[port] : NULL;
    uint8_t *const received = (kept && (output[4] == 0u)) ? tensor : &job->scratch[output[0]];
    const int status = receive(job->tpu, &received[offset], length);

    if ((status == TINYC_EDGETPU_OK) && last && kept) {
        finish_output(output, &job->program->runs[4u * output[3]], received, tensor);
    }
    return status;
}

static int await_interrupt(tinyc_edgetpu *tpu, uint32_t tag) {
    const tinyc_edgetpu_transport *usb = tpu->transport;
    uint32_t moved = 0;
    const int found = usb->event_in(usb->user, tpu->buffer, EVENT, tpu->timeout_ms, &moved);
    const int status = tinyc_edgetpu_exact(found, moved, EVENT);

    return ((status == TINYC_EDGETPU_OK) && ((tpu->buffer[EVENT_TAG] & 0xfu) != tag)) ? TINYC_EDGETPU_EVENT : status;
}

static int perform(const task *job, const tinyc_edgetpu_executable *executable, const uint32_t *step) {
    const uint32_t tag = step[0] & 0xffu, port = step[0] >> 16, offset = step[1], length = step[2];

    if (tag >= TINYC_EDGETPU_INTERRUPT) {
        return await_interrupt(job->tpu, tag);
    }
    if (tag == TINYC_EDGETPU_OUTPUT) {
        return receive_output(job, port, (step[0] & 0x100u) != 0u, offset, length);
    }
    const int status = send_header(job->tpu, length, tag);
    if (status != TINYC_EDGETPU_OK) {
        return status;
    }
    if (tag == TINYC_EDGETPU_INPUT) {
        return send_input(job->tpu, (const uint8_t *)job->inputs[port], &job->program->inputs[2u * port], offset, length);
    }
    return send(job->tpu, &((tag == TINYC_EDGETPU_CODE) ? executable->code : executable->parameters)[offset], length);
}

static int execute(const task *job, const tinyc_edgetpu_executable *executable) {
    int status = TINYC_EDGETPU_OK;

    for (uint32_t i = 0; (i < executable->step_count) && (status == TINYC_EDGETPU_OK); i++) {
        status = perform(job, executable, &executable->steps[3u * i]);
    }
    return status;
}

/* A program without parameters to load uses the chip's memory as it likes. */
static int load_parameters(const task *job) {
    tinyc_edgetpu *const tpu = job->tpu;
    const tinyc_edgetpu_program *const program = job->program;
    const int loads = program->caching.step_count != 0u;
    const uint32_t low = loads ? program->token[0] : 0u, high = loads ? program->token[1] : 0u;

    for (uint32_t i = 0; i < TINYC_EDGETPU_CACHED; i++) {
        if (loads && (tpu->cached[i] == program)) {
            return TINYC_EDGETPU_OK;
        }
    }
    if (((low | high) == 0u) || (low != tpu->token[0]) || (high != tpu->token[1])) {
        for (uint32_t i = 0; i < TINYC_EDGETPU_CACHED; i++) {
            tpu->cached[i] = NULL;
        }
        tpu->next = 0u;
    }
    tpu->token[0] = low;
    tpu->token[1] = high;
    if (!loads) {
        return TINYC_EDGETPU_OK;
    }
    tpu->cached[tpu->next] = program;
    tpu->next = (tpu->next + 1u) % TINYC_EDGETPU_CACHED;
    return execute(job, &program->caching);
}

TINYC_EDGETPU_FUNCTION int tinyc_edgetpu_run(tinyc_edgetpu *tpu, const tinyc_edgetpu_program *program, const void *const *inputs,
                                             void *const *outputs, void *scratch) {
    const task job = {tpu, program, inputs, outputs, (uint8_t *)scratch};

    if (tpu->open == 0u) {
        return TINYC_EDGETPU_NOT_OPEN;
    }
    int status = load_parameters(&job);
    if (status == TINYC_EDGETPU_OK) {
        status = execute(&job, &program->inference);
    }
    tpu->open = (status == TINYC_EDGETPU_OK) ? 1u : 0u;
    return status;
}
