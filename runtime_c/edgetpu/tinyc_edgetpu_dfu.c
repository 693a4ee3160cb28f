/* SPDX-License-Identifier: Apache-2.0 */
/* USB Device Class Specification for Device Firmware Upgrade 1.1; order as in coralmicro's libs/tpu/edgetpu_dfu_task.cc. */
#include "tinyc_edgetpu_control.h"

#define BLOCK 256u /* wTransferSize of the chip */
#define STATUS 6u
#define TO_DEVICE 0x21u
#define FROM_DEVICE 0xa1u

enum { DETACH = 0, DNLOAD = 1, UPLOAD = 2, GETSTATUS = 3, CLRSTATUS = 4, ABORT = 6 };
enum { IDLE = 2, DNLOAD_SYNC = 3, DNBUSY = 4, DNLOAD_IDLE = 5, MANIFEST_SYNC = 6, MANIFEST = 7, UPLOAD_IDLE = 9, FAILED = 10 };

static int request(tinyc_edgetpu *tpu, uint32_t name, uint32_t value, const uint8_t *data, uint32_t size) {
    const tinyc_edgetpu_transport *usb = tpu->transport;
    const tinyc_edgetpu_setup setup = {TO_DEVICE, (uint8_t)name, (uint16_t)value, 0u, (uint16_t)size};
    uint32_t moved = 0;

    const int status = usb->control_out(usb->user, &setup, data, tpu->timeout_ms, &moved);
    return tinyc_edgetpu_exact(status, moved, size);
}

static int ask(tinyc_edgetpu *tpu, uint32_t name, uint32_t value, uint32_t size) {
    const tinyc_edgetpu_transport *usb = tpu->transport;
    const tinyc_edgetpu_setup setup = {FROM_DEVICE, (uint8_t)name, (uint16_t)value, 0u, (uint16_t)size};
    uint32_t moved = 0;

    const int status = usb->control_in(usb->user, &setup, tpu->buffer, tpu->timeout_ms, &moved);
    return tinyc_edgetpu_exact(status, moved, size);
}

/* Waits while the chip is busy, for as long as it asks, then puts its state into `*state`. */
static int get_state(tinyc_edgetpu *tpu, uint32_t *state) {
    for (uint32_t left = tpu->timeout_ms;; left--) {
        const int status = ask(tpu, GETSTATUS, 0u, STATUS);
        const uint8_t *const answer = tpu->buffer;
        uint32_t wait_ms;

        if (status != TINYC_EDGETPU_OK) {
            return status;
        }
        *state = (answer[0] == 0u) ? answer[4] : (uint32_t)FAILED;
        wait_ms = answer[1] | ((uint32_t)answer[2] << 8) | ((uint32_t)answer[3] << 16);
        if ((*state != DNLOAD_SYNC) && (*state != DNBUSY) && (*state != MANIFEST_SYNC) && (*state != MANIFEST)) {
            return TINYC_EDGETPU_OK;
        }
        wait_ms = (wait_ms == 0u) ? 1u : wait_ms;
        if (wait_ms > left) {
            return TINYC_EDGETPU_DFU;
        }
        left -= wait_ms - 1u;
        tpu->transport->delay(tpu->transport->user, wait_ms * 1000u);
    }
}

static int expect(tinyc_edgetpu *tpu, uint32_t wanted) {
    uint32_t state = FAILED;
    const int status = get_state(tpu, &state);

    return ((status == TINYC_EDGETPU_OK) && (state != wanted)) ? TINYC_EDGETPU_DFU : status;
}

/* A chip that was left in the middle of an update begins anew. */
static int make_idle(tinyc_edgetpu *tpu) {
    uint32_t state = FAILED;
    int status = get_state(tpu, &state);

    if ((status == TINYC_EDGETPU_OK) && (state != IDLE)) {
        status = request(tpu, (state == FAILED) ? CLRSTATUS : ABORT, 0u, NULL, 0u);
        if (status == TINYC_EDGETPU_OK) {
            status = expect(tpu, IDLE);
        }
    }
    return status;
}

static int download(tinyc_edgetpu *tpu, const uint8_t *firmware, uint32_t size) {
    int status = TINYC_EDGETPU_OK;
    uint32_t block = 0;

    for (uint32_t done = 0; (done < size) && (status == TINYC_EDGETPU_OK); done += BLOCK) {
        const uint32_t length = (size - done < BLOCK) ? (size - done) : BLOCK;

        /* Through the driver's memory: firmware in flash need not be within reach of a USB controller. */
        for (uint32_t i = 0; i < length; i++) {
            tpu->buffer[i] = firmware[done + i];
        }
        status = request(tpu, DNLOAD, block, tpu->buffer, length);
        if (status == TINYC_EDGETPU_OK) {
            status = expect(tpu, DNLOAD_IDLE);
        }
        block++;
    }
    if (status == TINYC_EDGETPU_OK) {
        status = request(tpu, DNLOAD, block, NULL, 0u);
    }
    return (status == TINYC_EDGETPU_OK) ? expect(tpu, IDLE) : status;
}

static int verify(tinyc_edgetpu *tpu, const uint8_t *firmware, uint32_t size) {
    int status = TINYC_EDGETPU_OK;
    uint32_t block = 0;

    for (uint32_t done = 0; (done < size) && (status == TINYC_EDGETPU_OK); done += BLOCK) {
        const uint32_t length = (size - done < BLOCK) ? (size - done) : BLOCK;
        uint32_t state = FAILED;

        status = ask(tpu, UPLOAD, block, length);
        for (uint32_t i = 0; (i < length) && (status == TINYC_EDGETPU_OK); i++) {
            status = (tpu->buffer[i] == firmware[done + i]) ? TINYC_EDGETPU_OK : TINYC_EDGETPU_VERIFY;
        }
        if (status == TINYC_EDGETPU_OK) {
            status = get_state(tpu, &state);
        }
        if ((status == TINYC_EDGETPU_OK) && (state != UPLOAD_IDLE) && (state != IDLE)) {
            status = TINYC_EDGETPU_DFU;
        }
        block++;
    }
    return status;
}

TINYC_EDGETPU_FUNCTION int tinyc_edgetpu_dfu(tinyc_edgetpu *tpu, const tinyc_edgetpu_transport *transport, const uint8_t *firmware, uint32_t size,
                      uint32_t timeout_ms) {
    tpu->transport = transport;
    tpu->timeout_ms = timeout_ms;
    tpu->open = 0u;
    int status = make_idle(tpu);
    if (status == TINYC_EDGETPU_OK) {
        status = download(tpu, firmware, size);
    }
    if (status == TINYC_EDGETPU_OK) {
        status = verify(tpu, firmware, size);
    }
    return (status == TINYC_EDGETPU_OK) ? request(tpu, DETACH, 1000u, NULL, 0u) : status;
}
