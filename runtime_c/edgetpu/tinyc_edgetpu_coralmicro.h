/* SPDX-License-Identifier: Apache-2.0 */
/* A transport over coralmicro's USB host stack: Coral Dev Board Micro. C++, since coralmicro is. Not tried on hardware. */
#ifndef TINYC_EDGETPU_CORALMICRO_H
#define TINYC_EDGETPU_CORALMICRO_H

#include "tinyc_edgetpu.h"

namespace tinyc {

/* Turns the Edge TPU's power on, waits until coralmicro has given it its firmware and has found its endpoints, and makes a
 * transport for it. Call it from one task only; tinyc_edgetpu_open comes next. Returns OK or NOT_READY. */
int CoralmicroOpen(tinyc_edgetpu_transport* transport, uint32_t timeout_ms);

/* Turns the power off. After an error that tinyc_edgetpu_open does not mend, close and open again. */
void CoralmicroClose();

}  // namespace tinyc

#endif
