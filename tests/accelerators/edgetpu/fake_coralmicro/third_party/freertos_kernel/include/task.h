/* SPDX-License-Identifier: Apache-2.0 */
/* Declarations as in FreeRTOS, for a check of types. */
#pragma once
#include "third_party/freertos_kernel/include/FreeRTOS.h"

extern "C" void vTaskDelay(TickType_t ticks);
