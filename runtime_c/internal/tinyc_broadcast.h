/* SPDX-License-Identifier: Apache-2.0 */
/* Walks two inputs that broadcast. `shape` has three numbers per dimension, outermost first: its extent, and how far the pointers to
 * input 1 and input 2 move (in elements, negative is backwards) when it advances, after the dimensions inside it have run through. */
#ifndef TINYC_BROADCAST_H
#define TINYC_BROADCAST_H

#include <stddef.h>
#include <stdint.h>

#define TINYC_BROADCAST_RANK 6

/* After a run through the innermost dimension: moves the inputs to the next run, or returns 0 when there is none.
 * `counters` holds TINYC_BROADCAST_RANK numbers, zero before the first call. */
static inline int tinyc_broadcast_next(const int32_t *shape, int32_t rank, int32_t *counters, const int8_t **input1, const int8_t **input2) {
    for (int32_t d = rank - 2; d >= 0; d--) {
        if (++counters[d] < shape[3 * d]) {
            *input1 += shape[3 * d + 1];
            *input2 += shape[3 * d + 2];
            return 1;
        }
        counters[d] = 0;
    }
    return 0;
}

/* The same for inputs of any type: the dimension that advanced, as its three numbers in `shape`, or NULL when there is none. */
static inline const int32_t *tinyc_broadcast_advance(const int32_t *shape, int32_t rank, int32_t *counters) {
    for (int32_t d = rank - 2; d >= 0; d--) {
        if (++counters[d] < shape[3 * d]) {
            return shape + 3 * d;
        }
        counters[d] = 0;
    }
    return NULL;
}

#endif
