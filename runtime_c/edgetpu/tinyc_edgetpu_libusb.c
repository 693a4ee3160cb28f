/* SPDX-License-Identifier: Apache-2.0 */
#if !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE 1 /* nanosleep in <time.h> */
#endif
#include "tinyc_edgetpu_libusb.h"

#include <libusb.h>
#include <time.h>

#define CHIP_VENDOR 0x18d1u
#define CHIP_PRODUCT 0x9302u
#define DFU_VENDOR 0x1a6eu
#define DFU_PRODUCT 0x089au
#define INTERFACE 0
#define BULK_OUT 0x01u
#define BULK_IN 0x81u
#define EVENT_IN 0x82u
#define REAPPEARS_MS 10000u /* after a reset; libedgetpu waits up to 4 s and more */
#define POLL_MS 100u

static int status_of(int error) {
    switch (error) {
    case LIBUSB_SUCCESS:
        return TINYC_EDGETPU_OK;
    case LIBUSB_ERROR_PIPE:
        return TINYC_EDGETPU_STALL;
    case LIBUSB_ERROR_TIMEOUT:
        return TINYC_EDGETPU_TIMEOUT;
    case LIBUSB_ERROR_NO_DEVICE:
    case LIBUSB_ERROR_NOT_FOUND:
        return TINYC_EDGETPU_GONE;
    default:
        return TINYC_EDGETPU_ERROR;
    }
}

static int control(void *user, const tinyc_edgetpu_setup *setup, uint8_t *data, uint32_t timeout_ms, uint32_t *transferred) {
    const tinyc_edgetpu_libusb *usb = (const tinyc_edgetpu_libusb *)user;
    const int moved = libusb_control_transfer((libusb_device_handle *)usb->handle, setup->request_type, setup->request,
                                              setup->value, setup->index, data, setup->length, timeout_ms);

    *transferred = (moved > 0) ? (uint32_t)moved : 0u;
    return (moved >= 0) ? TINYC_EDGETPU_OK : status_of(moved);
}

/* libusb has one function for both directions, and takes data that it only reads as writable. */
static int control_out(void *user, const tinyc_edgetpu_setup *setup, const uint8_t *data, uint32_t timeout_ms,
                       uint32_t *transferred) {
    return control(user, setup, (uint8_t *)(uintptr_t)data, timeout_ms, transferred);
}

/* A time limit that ends a transfer in its middle leaves what was moved: the driver asks for the rest. */
static int bulk(const tinyc_edgetpu_libusb *usb, uint8_t endpoint, uint8_t *data, uint32_t size, uint32_t timeout_ms,
                uint32_t *transferred) {
    const uint32_t most = 1u << 20;
    int moved = 0;
    const int error = libusb_bulk_transfer((libusb_device_handle *)usb->handle, endpoint, data, (int)((size < most) ? size : most),
                                           &moved, timeout_ms);

    *transferred = (moved > 0) ? (uint32_t)moved : 0u;
    if (error == LIBUSB_ERROR_PIPE) {
        (void)libusb_clear_halt((libusb_device_handle *)usb->handle, endpoint);
    }
    return ((error == LIBUSB_ERROR_TIMEOUT) && (moved > 0)) ? TINYC_EDGETPU_OK : status_of(error);
}

static int bulk_out(void *user, const uint8_t *data, uint32_t size, uint32_t timeout_ms, uint32_t *transferred) {
    return bulk((const tinyc_edgetpu_libusb *)user, BULK_OUT, (uint8_t *)(uintptr_t)data, size, timeout_ms, transferred);
}

static int bulk_in(void *user, uint8_t *data, uint32_t size, uint32_t timeout_ms, uint32_t *transferred) {
    return bulk((const tinyc_edgetpu_libusb *)user, BULK_IN, data, size, timeout_ms, transferred);
}

static int event_in(void *user, uint8_t *data, uint32_t size, uint32_t timeout_ms, uint32_t *transferred) {
    return bulk((const tinyc_edgetpu_libusb *)user, EVENT_IN, data, size, timeout_ms, transferred);
}

static void delay(void *user, uint32_t microseconds) {
    const struct timespec span = {(time_t)(microseconds / 1000000u), (long)(microseconds % 1000000u) * 1000L};

    (void)user;
    (void)nanosleep(&span, NULL);
}

/* Opens the first device of this kind and takes its interface; 0 when there is none or it is somebody else's. */
static int attach(tinyc_edgetpu_libusb *usb, uint16_t vendor, uint16_t product) {
    libusb_device_handle *const handle = libusb_open_device_with_vid_pid((libusb_context *)usb->context, vendor, product);

    usb->handle = handle;
    if ((handle != NULL) && (libusb_claim_interface(handle, INTERFACE) != LIBUSB_SUCCESS)) {
        libusb_close(handle);
        usb->handle = NULL;
    }
    return usb->handle != NULL;
}

static int update(tinyc_edgetpu_libusb *usb, tinyc_edgetpu *tpu, const uint8_t *firmware, uint32_t size, uint32_t timeout_ms) {
    int status = (size == 0u) ? (int)TINYC_EDGETPU_DFU : tinyc_edgetpu_dfu(tpu, &usb->transport, firmware, size, timeout_ms);

    if (status == TINYC_EDGETPU_OK) {
        (void)libusb_reset_device((libusb_device_handle *)usb->handle); /* it comes back as another device, which libusb reports as loss */
    }
    libusb_close((libusb_device_handle *)usb->handle);
    usb->handle = NULL;
    for (uint32_t waited = 0; (status == TINYC_EDGETPU_OK) && !attach(usb, CHIP_VENDOR, CHIP_PRODUCT); waited += POLL_MS) {
        if (waited >= REAPPEARS_MS) {
            status = TINYC_EDGETPU_GONE;
        }
        delay(NULL, POLL_MS * 1000u);
    }
    return status;
}

int tinyc_edgetpu_libusb_open(tinyc_edgetpu_libusb *usb, tinyc_edgetpu *tpu, const uint8_t *firmware, uint32_t size,
                              uint32_t timeout_ms) {
    const tinyc_edgetpu_transport transport = {control, control_out, bulk_out, bulk_in, event_in, delay, usb, 0u};
    libusb_context *context = NULL;
    int status = TINYC_EDGETPU_OK;

    usb->context = NULL;
    usb->handle = NULL;
    usb->transport = transport;
    if (libusb_init(&context) != LIBUSB_SUCCESS) {
        return TINYC_EDGETPU_ERROR;
    }
    usb->context = context;
    if (!attach(usb, CHIP_VENDOR, CHIP_PRODUCT)) {
        if (!attach(usb, DFU_VENDOR, DFU_PRODUCT)) {
            return TINYC_EDGETPU_GONE;
        }
        status = update(usb, tpu, firmware, size, timeout_ms);
    }
    if (status == TINYC_EDGETPU_OK) {
        libusb_device *const device = libusb_get_device((libusb_device_handle *)usb->handle);
        usb->transport.super_speed = (libusb_get_device_speed(device) >= LIBUSB_SPEED_SUPER) ? 1u : 0u;
    }
    return status;
}

void tinyc_edgetpu_libusb_close(tinyc_edgetpu_libusb *usb) {
    if (usb->handle != NULL) {
        (void)libusb_release_interface((libusb_device_handle *)usb->handle, INTERFACE);
        libusb_close((libusb_device_handle *)usb->handle);
        usb->handle = NULL;
    }
    if (usb->context != NULL) {
        libusb_exit((libusb_context *)usb->context);
        usb->context = NULL;
    }
}
