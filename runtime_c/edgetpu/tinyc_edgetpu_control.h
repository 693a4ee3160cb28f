/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the driver share: the check of a transfer's result. */
#ifndef TINYC_EDGETPU_CONTROL_H
#define TINYC_EDGETPU_CONTROL_H

#include "tinyc_edgetpu.h"

/* Several models in one firmware bring the same files, and the linker keeps one of each. */
#define TINYC_EDGETPU_FUNCTION __attribute__((weak))

/* The result of a transfer of at most `size` bytes that moved `moved`. */
static inline int tinyc_edgetpu_checked(int status, uint32_t moved, uint32_t size) {
    if ((status < 0) || (status > TINYC_EDGETPU_ERROR) || ((status == TINYC_EDGETPU_OK) && (moved > size))) {
        return TINYC_EDGETPU_ERROR;
    }
    return status;
}

static inline int tinyc_edgetpu_exact(int status, uint32_t moved, uint32_t size) {
    const int checked = tinyc_edgetpu_checked(status, moved, size);
    return ((checked == TINYC_EDGETPU_OK) && (moved < size)) ? TINYC_EDGETPU_SHORT : checked;
}

#endif
