/* SPDX-License-Identifier: Apache-2.0 */
/* Declarations as in NXP's SDK, for a check of types. */
#pragma once
#include <stdint.h>

typedef enum _clock_name { kCLOCK_CpuClk = 0 } clock_name_t;
extern "C" uint32_t CLOCK_GetFreq(clock_name_t name);
