/* SPDX-License-Identifier: Apache-2.0 */
/* A transport over libusb-1.0: Coral USB Accelerator on Linux, such as a Raspberry Pi. */
#ifndef TINYC_EDGETPU_LIBUSB_H
#define TINYC_EDGETPU_LIBUSB_H

#include "tinyc_edgetpu.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    void *context; /* of libusb */
    void *handle;  /* of the chip, NULL when it is not there */
    tinyc_edgetpu_transport transport;
} tinyc_edgetpu_libusb;

/* Finds the first Edge TPU and makes `usb->transport` for it. A chip without firmware gets `firmware` (apex_latest_single_ep.bin of
 * libedgetpu; 0 bytes: there is none), for which it takes `tpu`, and is waited for.
 * Returns OK or an error of tinyc_edgetpu_dfu; GONE when there is no chip or nobody may use it (see the udev rule in the README),
 * DFU when it needs firmware and there is none. Close it in any case. */
int tinyc_edgetpu_libusb_open(tinyc_edgetpu_libusb *usb, tinyc_edgetpu *tpu, const uint8_t *firmware, uint32_t size,
                              uint32_t timeout_ms);

void tinyc_edgetpu_libusb_close(tinyc_edgetpu_libusb *usb);

#ifdef __cplusplus
}
#endif

#endif
