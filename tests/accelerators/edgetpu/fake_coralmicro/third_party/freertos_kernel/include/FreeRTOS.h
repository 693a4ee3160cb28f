/* SPDX-License-Identifier: Apache-2.0 */
/* Declarations as in FreeRTOS, for a check of types. */
#pragma once
#include <stdint.h>

typedef long BaseType_t;
typedef uint32_t TickType_t;
typedef struct {
  void *dummy[20];
} StaticSemaphore_t;
#define pdTRUE ((BaseType_t)1)
#define pdFALSE ((BaseType_t)0)
#define pdMS_TO_TICKS(ms) ((TickType_t)(((TickType_t)(ms) * (TickType_t)1000) / (TickType_t)1000U))
