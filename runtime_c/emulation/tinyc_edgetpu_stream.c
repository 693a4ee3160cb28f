/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of 16 bytes: kind, request type, request, 0, value (16 bits), index (16), size (32), time limit (32); data follows what is
 * sent. A transfer is answered by status (32), bytes moved (32) and what was received. All little endian. */
#include "tinyc_edgetpu_stream.h"

#include "tinyc_host.h"

#define FRAME 16u

static void put(uint8_t *to, uint32_t value, uint32_t bytes) {
    for (uint32_t i = 0; i < bytes; i++) {
        to[i] = (uint8_t)(value >> (8u * i));
    }
}

static uint32_t get(const uint8_t *from) {
    return from[0] | ((uint32_t)from[1] << 8) | ((uint32_t)from[2] << 16) | ((uint32_t)from[3] << 24);
}

/* The channel gives what it has, which may be less. */
static void read_all(void *data, uint32_t size) {
    uint8_t *to = (uint8_t *)data;

    while (size > 0u) {
        const uint32_t done = tinyc_host_read(to, size);

        if (done == 0u) {
            tinyc_host_exit(3); /* nobody is there */
        }
        to += done;
        size -= done;
    }
}

static void send_frame(char kind, const tinyc_edgetpu_setup *setup, uint32_t size, uint32_t timeout_ms) {
    uint8_t frame[FRAME] = {(uint8_t)kind};

    if (setup != NULL) {
        frame[1] = setup->request_type;
        frame[2] = setup->request;
        put(&frame[4], setup->value, 2u);
        put(&frame[6], setup->index, 2u);
    }
    put(&frame[8], size, 4u);
    put(&frame[12], timeout_ms, 4u);
    tinyc_host_write(frame, FRAME);
}

static int answer(uint8_t *data, uint32_t size, uint32_t *transferred) {
    uint8_t head[8];

    read_all(head, 8u);
    *transferred = get(&head[4]);
    if (data != NULL) {
        read_all(data, (*transferred < size) ? *transferred : size);
    }
    return (int)(int32_t)get(head);
}

static int control_in(void *user, const tinyc_edgetpu_setup *setup, uint8_t *data, uint32_t timeout_ms, uint32_t *transferred) {
    (void)user;
    send_frame('I', setup, setup->length, timeout_ms);
    return answer(data, setup->length, transferred);
}

static int control_out(void *user, const tinyc_edgetpu_setup *setup, const uint8_t *data, uint32_t timeout_ms,
                       uint32_t *transferred) {
    (void)user;
    send_frame('O', setup, setup->length, timeout_ms);
    if (setup->length != 0u) {
        tinyc_host_write(data, setup->length);
    }
    return answer(NULL, 0u, transferred);
}

static int bulk_out(void *user, const uint8_t *data, uint32_t size, uint32_t timeout_ms, uint32_t *transferred) {
    (void)user;
    send_frame('B', NULL, size, timeout_ms);
    tinyc_host_write(data, size);
    return answer(NULL, 0u, transferred);
}

static int bulk_in(void *user, uint8_t *data, uint32_t size, uint32_t timeout_ms, uint32_t *transferred) {
    (void)user;
    send_frame('b', NULL, size, timeout_ms);
    return answer(data, size, transferred);
}

static int event_in(void *user, uint8_t *data, uint32_t size, uint32_t timeout_ms, uint32_t *transferred) {
    (void)user;
    send_frame('E', NULL, size, timeout_ms);
    return answer(data, size, transferred);
}

static void delay(void *user, uint32_t microseconds) {
    (void)user;
    send_frame('D', NULL, microseconds, 0u);
}

const tinyc_edgetpu_transport tinyc_edgetpu_stream = {control_in, control_out, bulk_out, bulk_in, event_in, delay, NULL, 0u};

uint32_t tinyc_edgetpu_stream_read(void *data, uint32_t size) {
    uint8_t head[4];

    send_frame('r', NULL, size, 0u);
    read_all(head, 4u);
    read_all(data, get(head));
    return get(head);
}

void tinyc_edgetpu_stream_write(const void *data, uint32_t size) {
    send_frame('w', NULL, size, 0u);
    tinyc_host_write(data, size);
}

void tinyc_edgetpu_stream_reset(void) {
    send_frame('R', NULL, 0u, 0u);
}

uint32_t tinyc_edgetpu_stream_present(void) {
    uint8_t head[4];

    send_frame('P', NULL, 0u, 0u);
    read_all(head, 4u);
    return get(head);
}
