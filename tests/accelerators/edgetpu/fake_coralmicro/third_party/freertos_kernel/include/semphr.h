/* SPDX-License-Identifier: Apache-2.0 */
/* Declarations as in FreeRTOS, for a check of types. */
#pragma once
#include "third_party/freertos_kernel/include/FreeRTOS.h"

typedef struct QueueDefinition *SemaphoreHandle_t;
extern "C" SemaphoreHandle_t xSemaphoreCreateBinaryStatic(StaticSemaphore_t *memory);
extern "C" BaseType_t xSemaphoreTake(SemaphoreHandle_t semaphore, TickType_t ticks);
extern "C" BaseType_t xSemaphoreGive(SemaphoreHandle_t semaphore);
