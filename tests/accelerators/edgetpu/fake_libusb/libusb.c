/* SPDX-License-Identifier: Apache-2.0 */
/* A libusb whose only device is the simulated Edge TPU at the other end of stdin and stdout. */
#include "libusb.h"

#include <stdlib.h>

#include "tinyc_edgetpu_stream.h"

struct libusb_context {
    int open;
};
struct libusb_device_handle {
    int claimed;
};

static struct libusb_context the_context;
static struct libusb_device_handle the_handle;

int libusb_init(libusb_context **ctx) {
    the_context.open++;
    *ctx = &the_context;
    return LIBUSB_SUCCESS;
}

/* What was opened has to be closed. */
void libusb_exit(libusb_context *ctx) {
    if ((--ctx->open != 0) || (the_handle.claimed != 0)) {
        abort();
    }
}

libusb_device_handle *libusb_open_device_with_vid_pid(libusb_context *ctx, uint16_t vendor_id, uint16_t product_id) {
    (void)ctx;
    return (tinyc_edgetpu_stream_present() == (((uint32_t)vendor_id << 16) | product_id)) ? &the_handle : NULL;
}

void libusb_close(libusb_device_handle *dev_handle) { dev_handle->claimed = 0; }

libusb_device *libusb_get_device(libusb_device_handle *dev_handle) {
    (void)dev_handle;
    return NULL;
}

int libusb_get_device_speed(libusb_device *dev) {
    (void)dev;
    return LIBUSB_SPEED_HIGH;
}

int libusb_claim_interface(libusb_device_handle *dev_handle, int interface_number) {
    dev_handle->claimed = 1;
    return (interface_number == 0) ? LIBUSB_SUCCESS : LIBUSB_ERROR_NOT_FOUND;
}

int libusb_release_interface(libusb_device_handle *dev_handle, int interface_number) {
    (void)interface_number;
    dev_handle->claimed = 0;
    return LIBUSB_SUCCESS;
}

int libusb_reset_device(libusb_device_handle *dev_handle) {
    (void)dev_handle;
    tinyc_edgetpu_stream_reset();
    return LIBUSB_ERROR_NOT_FOUND; /* it is another device now */
}

int libusb_clear_halt(libusb_device_handle *dev_handle, unsigned char endpoint) {
    (void)dev_handle;
    (void)endpoint;
    return LIBUSB_SUCCESS;
}

static int error_of(int status) {
    switch (status) {
    case TINYC_EDGETPU_OK:
        return LIBUSB_SUCCESS;
    case TINYC_EDGETPU_STALL:
        return LIBUSB_ERROR_PIPE;
    case TINYC_EDGETPU_TIMEOUT:
        return LIBUSB_ERROR_TIMEOUT;
    case TINYC_EDGETPU_GONE:
        return LIBUSB_ERROR_NO_DEVICE;
    default:
        return LIBUSB_ERROR_IO;
    }
}

int libusb_control_transfer(libusb_device_handle *dev_handle, uint8_t request_type, uint8_t bRequest, uint16_t wValue,
                            uint16_t wIndex, unsigned char *data, uint16_t wLength, unsigned int timeout) {
    const tinyc_edgetpu_setup setup = {request_type, bRequest, wValue, wIndex, wLength};
    const tinyc_edgetpu_transport *const usb = &tinyc_edgetpu_stream;
    uint32_t moved = 0;
    const int status = (request_type & 0x80) ? usb->control_in(NULL, &setup, data, timeout, &moved)
                                             : usb->control_out(NULL, &setup, data, timeout, &moved);

    return (dev_handle->claimed == 0) ? LIBUSB_ERROR_BUSY : (status == TINYC_EDGETPU_OK) ? (int)moved : error_of(status);
}

int libusb_bulk_transfer(libusb_device_handle *dev_handle, unsigned char endpoint, unsigned char *data, int length,
                         int *actual_length, unsigned int timeout) {
    const tinyc_edgetpu_transport *const usb = &tinyc_edgetpu_stream;
    uint32_t moved = 0;
    int status = TINYC_EDGETPU_ERROR;

    if (dev_handle->claimed == 0) {
        return LIBUSB_ERROR_BUSY;
    }
    if (endpoint == 0x01) {
        status = usb->bulk_out(NULL, data, (uint32_t)length, timeout, &moved);
    } else if (endpoint == 0x81) {
        status = usb->bulk_in(NULL, data, (uint32_t)length, timeout, &moved);
    } else if (endpoint == 0x82) {
        status = usb->event_in(NULL, data, (uint32_t)length, timeout, &moved);
    }
    *actual_length = (int)moved;
    return error_of(status);
}
