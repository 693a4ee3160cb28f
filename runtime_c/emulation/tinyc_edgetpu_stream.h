/* SPDX-License-Identifier: Apache-2.0 */
/* A transport to a simulated Edge TPU (compiler/emulators/edgetpu_device.py) through the host channel: semihosting on an emulated
 * core, stdin and stdout natively. */
#ifndef TINYC_EDGETPU_STREAM_H
#define TINYC_EDGETPU_STREAM_H

#include "tinyc_edgetpu.h"

extern const tinyc_edgetpu_transport tinyc_edgetpu_stream;

/* Bytes from, and for, the one who watches: inputs, outputs, what was returned. Returns the bytes read. */
uint32_t tinyc_edgetpu_stream_read(void *data, uint32_t size);
void tinyc_edgetpu_stream_write(const void *data, uint32_t size);

/* A reset of the bus, after which a chip with new firmware is an Edge TPU. */
void tinyc_edgetpu_stream_reset(void);

/* Vendor (upper half) and product of the device on the bus, 0 when there is none. */
uint32_t tinyc_edgetpu_stream_present(void);

#endif
